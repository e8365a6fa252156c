package libpod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const secretData = "data"

// secretDriver keeps the value of one secret. Deleting one that is not there is no error.
type secretDriver interface {
	store(ctx context.Context, value []byte) error
	lookup(ctx context.Context) ([]byte, error)
	delete(ctx context.Context) error
}

// secretDriver is Podman's file, pass or shell driver for s.
func (e *Engine) secretDriver(s Secret) (secretDriver, error) {
	allowed := map[string][]string{"file": {"path"}, "pass": {"root", "key", "gpghomedir"}, "shell": {"list", "lookup", "store", "delete"}}[s.Driver]
	if allowed == nil {
		return nil, errdefs.New(errdefs.ErrUnsupported, "there is no secret driver %q (file, pass and shell are)", s.Driver)
	}
	for key := range s.DriverOpts {
		if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+key+" ") {
			return nil, errdefs.New(errdefs.ErrInvalid, "secret driver %s has no option %q (%s)", s.Driver, key, strings.Join(allowed, ", "))
		}
	}
	switch s.Driver {
	case "pass":
		return newPassSecret(s)
	case "shell":
		for _, key := range allowed[1:] {
			if s.DriverOpts[key] == "" {
				return nil, errdefs.New(errdefs.ErrInvalid, "secret driver shell needs --driver-opts %s=COMMAND", key)
			}
		}
		return &shellSecret{id: s.ID, opts: s.DriverOpts}, nil
	}
	if dir := s.DriverOpts["path"]; dir != "" {
		if !filepath.IsAbs(dir) {
			return nil, errdefs.New(errdefs.ErrInvalid, "--driver-opts path=%s is not an absolute path", dir)
		}
		return fileSecret{filepath.Join(dir, s.ID), true}, nil
	}
	return fileSecret{filepath.Join(e.secrets.Path(s.ID), secretData), false}, nil
}

// fileSecret is a file that only the user can read.
type fileSecret struct {
	path    string
	makeDir bool // it is the user's own place
}

func (f fileSecret) store(_ context.Context, value []byte) error {
	if f.makeDir {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
	}
	return atomicfile.Write(f.path, value, 0o600, atomicfile.Durable)
}

func (f fileSecret) lookup(context.Context) ([]byte, error) { return os.ReadFile(f.path) }

func (f fileSecret) delete(context.Context) error {
	if !f.makeDir {
		return nil // it goes with the record
	}
	tmp := filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".tmp")
	for _, path := range []string{f.path, tmp} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// passSecret keeps the value as `pass` does: a file that gpg encrypts for a key.
type passSecret struct {
	file, key, home string
}

func newPassSecret(s Secret) (*passSecret, error) {
	root := s.DriverOpts["root"]
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		root = filepath.Join(home, ".password-store")
	}
	key := s.DriverOpts["key"]
	if key == "" {
		id, err := os.ReadFile(filepath.Join(root, ".gpg-id"))
		if key = strings.TrimSpace(string(id)); err != nil || key == "" {
			return nil, errdefs.New(errdefs.ErrInvalid, "secret driver pass needs a gpg key (--driver-opts key=ID, or pass init ID)")
		}
	}
	return &passSecret{file: filepath.Join(root, s.ID+".gpg"), key: key, home: s.DriverOpts["gpghomedir"]}, nil
}

func (p *passSecret) gpg(ctx context.Context, in []byte, args ...string) ([]byte, error) {
	args = append([]string{"--batch", "--quiet", "--yes"}, args...)
	if p.home != "" {
		args = append([]string{"--homedir", p.home}, args...)
	}
	return runQuiet(exec.CommandContext(ctx, "gpg", args...), in)
}

func (p *passSecret) store(ctx context.Context, value []byte) error {
	if err := os.MkdirAll(filepath.Dir(p.file), 0o700); err != nil {
		return err
	}
	sealed, err := p.gpg(ctx, value, "--trust-model", "always", "--encrypt", "--recipient", p.key, "--output", "-")
	if err != nil {
		return err
	}
	return atomicfile.Write(p.file, sealed, 0o600, atomicfile.Durable)
}

func (p *passSecret) lookup(ctx context.Context) ([]byte, error) {
	return p.gpg(ctx, nil, "--decrypt", p.file)
}

func (p *passSecret) delete(context.Context) error {
	if err := os.Remove(p.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// shellSecret leaves it to the user's commands, which get the secret's id in SECRET_ID and the value on standard input.
type shellSecret struct {
	id   string
	opts map[string]string
}

func (s *shellSecret) run(ctx context.Context, what string, in []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", s.opts[what])
	cmd.Env = append(os.Environ(), "SECRET_ID="+s.id)
	out, err := runQuiet(cmd, in)
	if err != nil {
		return nil, fmt.Errorf("its %s command: %w", what, err)
	}
	return out, nil
}

func (s *shellSecret) store(ctx context.Context, value []byte) error {
	_, err := s.run(ctx, "store", value)
	return err
}

func (s *shellSecret) lookup(ctx context.Context) ([]byte, error) { return s.run(ctx, "lookup", nil) }

func (s *shellSecret) delete(ctx context.Context) error {
	_, err := s.run(ctx, "delete", nil)
	return err
}

// runQuiet runs cmd and returns its output; an error has the last line that it said.
func runQuiet(cmd *exec.Cmd, in []byte) ([]byte, error) {
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &said
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	lines := strings.Split(strings.TrimSpace(said.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return nil, fmt.Errorf("%w: %s", err, last)
	}
	return nil, err
}
