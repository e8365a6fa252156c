package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry"
)

// maxPassword bounds what is read from standard input.
const maxPassword = 64 << 10

// settings is the registry's name and the setting for it.
func settings(env *cmdkit.Env, arg string, opts option.Login) (string, *types.SystemContext, error) {
	host, err := registry.ParseHost(arg)
	if err != nil {
		return "", nil, err
	}
	sys := engine.SystemContext(config(env))
	err = registry.Apply(&sys, host, opts.Options)
	return host, &sys, err
}

func login(ctx context.Context, env *cmdkit.Env, arg string, opts option.Login) error {
	host, sys, err := settings(env, arg, opts)
	if err != nil {
		return err
	}
	known, err := registry.LoggedIn(sys, host)
	if err != nil {
		return err
	}
	if opts.GetLogin {
		if known == "" {
			return errdefs.New(errdefs.ErrNotFound, "nobody is logged in at registry %s", host)
		}
		_, err := fmt.Fprintln(env.Out, known)
		return err
	}
	user, password, err := credentials(ctx, env, host, known, opts)
	if err != nil {
		return err
	}
	if _, err := registry.Login(ctx, sys, host, user, password); err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, "Login Succeeded")
	return err
}

// credentials come from flags and standard input, else the user is asked.
func credentials(ctx context.Context, env *cmdkit.Env, host, known string, opts option.Login) (user, password string, err error) {
	user, password = opts.Username, opts.Password
	switch {
	case opts.PasswordStdin && password != "":
		return "", "", errdefs.New(errdefs.ErrInvalid, "--password and --password-stdin exclude each other")
	case opts.PasswordStdin && user == "":
		return "", "", errdefs.New(errdefs.ErrInvalid, "--password-stdin needs --username")
	case password != "":
		env.Warn("--password can be seen by others on this machine: rather use --password-stdin")
	case opts.PasswordStdin:
		data, err := io.ReadAll(io.LimitReader(env.In, maxPassword))
		if err != nil {
			return "", "", fmt.Errorf("read the password: %w", err)
		}
		password = strings.TrimRight(string(data), "\r\n")
	}
	if user != "" && password != "" {
		return user, password, nil
	}
	if !cmdkit.IsTerminal(env.InFile) {
		return "", "", errdefs.New(errdefs.ErrInvalid, "log in at registry %s: there is no terminal to ask at (use --username and --password-stdin)", host)
	}
	return ask(ctx, env, known, user, password)
}

func ask(ctx context.Context, env *cmdkit.Env, known, user, password string) (string, string, error) {
	if user == "" {
		fmt.Fprint(env.Err, "Username")
		if known != "" {
			fmt.Fprintf(env.Err, " (%s)", known)
		}
		fmt.Fprint(env.Err, ": ")
		var line string
		err := env.Ask(ctx, func() (err error) {
			line, err = bufio.NewReader(env.In).ReadString('\n')
			return err
		})
		if err != nil {
			return "", "", fmt.Errorf("read the user name: %w", err)
		}
		if user = strings.TrimSpace(line); user == "" {
			user = known
		}
	}
	if password == "" {
		fmt.Fprint(env.Err, "Password: ")
		var secret []byte
		err := env.Ask(ctx, func() (err error) {
			secret, err = term.ReadPassword(int(env.InFile.Fd()))
			return err
		})
		fmt.Fprintln(env.Err)
		if err != nil {
			return "", "", fmt.Errorf("read the password: %w", err)
		}
		password = string(secret)
	}
	if user == "" || password == "" {
		return "", "", errors.New("a user name and a password are needed to log in")
	}
	return user, password, nil
}

func logout(_ context.Context, env *cmdkit.Env, arg string, opts option.Login) error {
	host, sys, err := settings(env, arg, opts)
	if err != nil {
		return err
	}
	if opts.All {
		if arg != "" {
			return errdefs.New(errdefs.ErrInvalid, "--all and a registry exclude each other")
		}
		if err := registry.LogoutAll(sys); err != nil {
			return err
		}
		_, err := fmt.Fprintln(env.Out, "Removed the log-ins of all registries")
		return err
	}
	if err := registry.Logout(sys, host); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Out, "Removed the log-in of %s\n", host)
	return err
}
