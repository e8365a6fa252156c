package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/image"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/realuser"
)

// far is a store that is not ours: of another machine, or of another user of this one.
type far struct {
	user, host, port string
}

// splitFar reads [HOST::]IMAGE; host is nil for what is here. HOST is [ssh://][USER@]NAME[:PORT].
func splitFar(text string) (host *far, image string, err error) {
	where, image, found := strings.Cut(text, "::")
	if !found {
		return nil, text, nil
	}
	host = &far{host: strings.TrimPrefix(where, "ssh://")}
	if user, rest, found := strings.Cut(host.host, "@"); found {
		host.user, host.host = user, rest
	}
	if name, port, found := strings.Cut(host.host, ":"); found && !strings.Contains(port, ":") {
		host.host, host.port = name, port
	}
	for _, part := range []string{host.user, host.host, image} { // what could be taken for an option of ssh
		if strings.HasPrefix(part, "-") || strings.ContainsAny(part, " \t\n'\"") {
			return nil, "", errdefs.New(errdefs.ErrInvalid, "invalid place %q: want [USER@]HOST[:PORT]::IMAGE", text)
		}
	}
	if host.host == "" || strings.Trim(host.port, "0123456789") != "" {
		return nil, "", errdefs.New(errdefs.ErrInvalid, "invalid place %q: want [USER@]HOST[:PORT]::IMAGE", text)
	}
	return host, image, nil
}

// programs are those that may be there, each with the same load and save.
const programs = `for p in wherry podman docker; do command -v $p >/dev/null 2>&1 && exec $p %s; done; echo "neither wherry nor podman nor docker is installed there" >&2; exit 127`

// command runs `wherry ARGS` there.
func (f *far) command(ctx context.Context, env *cmdkit.Env, args string) *exec.Cmd {
	script := fmt.Sprintf(programs, args)
	var cmd *exec.Cmd
	if f.otherUser() {
		cmd = exec.CommandContext(ctx, "runuser", "--login", f.user, "--command", script)
	} else {
		words := []string{}
		if f.port != "" {
			words = append(words, "-p", f.port)
		}
		if f.user != "" {
			words = append(words, "-l", f.user)
		}
		cmd = exec.CommandContext(ctx, "ssh", append(words, "--", f.host, script)...)
	}
	cmd.Env = env.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	realuser.Attributes(cmd.SysProcAttr)
	return cmd
}

// otherUser tells whether the store is another user's of this machine. Only root can become that; anybody can ask ssh to.
func (f *far) otherUser() bool {
	return f.host == "localhost" && f.user != "" && !realuser.Inside() && realuser.UID() == 0
}

// run runs a command there between in and out.
func (f *far) run(ctx context.Context, env *cmdkit.Env, args string, in io.Reader, out io.Writer) error {
	cmd := f.command(ctx, env, args)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &errs
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return errdefs.New(errdefs.ErrUnsupported, "%s is not installed here, which image scp needs", cmd.Args[0])
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return errdefs.New(errdefs.ErrInvalid, "%s: %s", f.host, strings.TrimPrefix(lines[len(lines)-1], "Error: "))
	}
	return nil
}

// copyOver is image scp: a tar archive through a pipe from one store to the other.
func copyOver(ctx context.Context, env *cmdkit.Env, source, destination string, opts image.CopyOver) error {
	from, name, err := splitFar(source)
	if err != nil {
		return err
	}
	to, renamed, err := splitFar(destination)
	if err != nil {
		return err
	}
	switch {
	case name == "":
		return cmdkit.Operandsf("which image? Name it: wherry image scp [HOST::]IMAGE [HOST::]")
	case renamed != "" && to != nil:
		return cmdkit.Usagef("the copy has the name of the original: leave %q out behind the ::", renamed)
	case from == nil && to == nil:
		return cmdkit.Usagef("one side has to be elsewhere: HOST::IMAGE as the source, or HOST:: as the destination")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read, write := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := sendImage(ctx, env, from, name, write, opts)
		sent <- err
		write.CloseWithError(err)
	}()
	err = takeImage(ctx, env, to, read, opts)
	select {
	case sendErr := <-sent: // it was first: what the receiver says comes of that
		if sendErr != nil {
			return sendErr
		}
		return err
	default:
	}
	read.CloseWithError(errors.New("nobody reads any more")) // ends a sender whose receiver has failed
	if sendErr := <-sent; err == nil {
		return sendErr
	}
	return err
}

func sendImage(ctx context.Context, env *cmdkit.Env, from *far, name string, out io.Writer, opts image.CopyOver) error {
	if from != nil {
		return from.run(ctx, env, "save "+name, nil, out)
	}
	cfg := config(env)
	cfg.Out = out
	return withConfig(ctx, env, cfg, func(s *engine.Session) error { return s.Save(ctx, []string{name}, option.Save{Quiet: opts.Quiet}) })
}

func takeImage(ctx context.Context, env *cmdkit.Env, to *far, in io.Reader, opts image.CopyOver) error {
	if to != nil {
		return to.run(ctx, env, "load", in, env.Out)
	}
	cfg := config(env)
	cfg.In = in
	return withConfig(ctx, env, cfg, func(s *engine.Session) error {
		names, err := s.Load(ctx, option.Load{Quiet: opts.Quiet})
		for _, name := range names {
			fmt.Fprintf(env.Out, "Loaded image: %s\n", name)
		}
		return err
	})
}
