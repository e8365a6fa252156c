package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/trust"
)

func signVerbs() *image.SignVerbs {
	return &image.SignVerbs{Sign: sign, Show: trustShow, Set: trustSet}
}

func sign(ctx context.Context, env *cmdkit.Env, images []string, opts option.Sign) error {
	return withSession(ctx, env, func(s *engine.Session) error {
		for _, name := range images {
			paths, err := s.Sign(ctx, name, opts, func(text []byte, key string) ([]byte, error) { return gpgSign(ctx, env, text, key) })
			for _, path := range paths {
				fmt.Fprintln(env.Out, path)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// gpgSign lets the user's gpg sign, which asks for the passphrase if there is one.
func gpgSign(ctx context.Context, env *cmdkit.Env, text []byte, key string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "gpg", "--quiet", "--local-user", key, "--sign", "--output", "-")
	cmd.Env = env.Environ()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &out, &errs
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errdefs.New(errdefs.ErrUnsupported, "gpg is not installed, which makes the signatures (sudo apt install gnupg)")
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return nil, errdefs.New(errdefs.ErrInvalid, "gpg: %s", strings.TrimPrefix(lines[0], "gpg: "))
	}
	return out.Bytes(), nil
}

// trustRow is a line of image trust show.
type trustRow struct {
	Transport string `json:"transport"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	ID        string `json:"id,omitempty"`
	Store     string `json:"store,omitempty"`
}

func trustShow(_ context.Context, env *cmdkit.Env, scope string, opts image.TrustShow) error {
	path := opts.Policy
	if path == "" {
		path = trust.Path(env.Getenv("HOME"))
	}
	if opts.Raw {
		data, err := os.ReadFile(path)
		if err == nil {
			_, err = env.Out.Write(data)
		}
		return err
	}
	policy, err := trust.Load(path)
	if err != nil {
		return err
	}
	rows := []trustRow{}
	for _, r := range policy.Rows() {
		if r.Type == "signedBy" {
			r.Store = engine.SignatureStore(r.Name)
		}
		if scope == "" || r.Name == scope {
			rows = append(rows, trustRow(r))
		}
	}
	if scope != "" && len(rows) == 0 {
		return errdefs.New(errdefs.ErrNotFound, "the policy %s says nothing of %s: its default holds", path, scope)
	}
	format := ""
	if opts.JSON {
		format = "json"
	}
	table := "{{.Transport}}\t{{.Name}}\t{{.Type}}\t{{.ID}}\t{{.Store}}"
	if opts.NoHeading && !opts.JSON {
		for _, r := range rows {
			fmt.Fprintln(env.Out, strings.Join([]string{r.Transport, r.Name, r.Type, r.ID, r.Store}, "\t"))
		}
		return nil
	}
	return env.Print(rows, format, table)
}

func trustSet(_ context.Context, env *cmdkit.Env, scope string, opts image.TrustSet) error {
	path := opts.Policy
	if path == "" {
		path = trust.UserPath(env.Getenv("HOME"))
		if env.Getenv("HOME") == "" {
			return errdefs.New(errdefs.ErrInvalid, "HOME is not set: name the policy with --signature-policy FILE")
		}
	}
	from := path
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) && opts.Policy == "" {
		from = trust.Path(env.Getenv("HOME")) // what the machine's says goes on to hold
	}
	policy, err := trust.Load(from)
	if err != nil {
		return err
	}
	if err := policy.Set(scope, opts.Type, opts.Keys); err != nil {
		return err
	}
	return policy.Save(path)
}
