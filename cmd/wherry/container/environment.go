package container

import (
	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
)

// environment collects -e and --env-file. The files come first whatever the order on the command line.
type environment struct {
	environ  func() []string
	fromFile []string
	fromFlag []string
}

func (v *environment) flags() []cli.Flag {
	return []cli.Flag{
		cmdkit.Func("env e", "Set `NAME=VALUE`; NAME alone passes the caller's value on", func(s string) error {
			pairs, err := values.Env(s, v.environ)
			v.fromFlag = append(v.fromFlag, pairs...)
			return err
		}),
		cmdkit.Func("env-file", "Set what `FILE` says, a NAME=VALUE each line", func(s string) error {
			pairs, err := values.EnvFile(s, v.environ)
			v.fromFile = append(v.fromFile, pairs...)
			return err
		}),
	}
}

func (v *environment) list() []string { return append(v.fromFile, v.fromFlag...) }
