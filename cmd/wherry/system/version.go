// Package system holds the commands about wherry and the machine.
package system

import (
	"fmt"
	"runtime"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// APIVersion is the newest version of Docker's API that our output follows.
const APIVersion = "1.51"

// build is what one side of `version` shows; the fields are Docker's.
type build struct {
	Version    string
	APIVersion string `json:"ApiVersion"`
	GoVersion  string
	GitCommit  string
	Os         string
	Arch       string
}

// versions is the whole of `version`. There is no server: it is the same program.
type versions struct {
	Client build
	Server build
}

// Version is `wherry version`.
func Version(env *cmdkit.Env) *cli.Command {
	var format string
	return &cli.Command{
		Name: "version", Usage: "Show the version",
		Flags:  []cli.Flag{cmdkit.String(&format, "format f", "Print as `json|TEMPLATE`")},
		Action: func(*cli.Context) error { return version(env, format) },
	}
}

func version(env *cmdkit.Env, format string) error {
	b := build{Version: env.Version, APIVersion: APIVersion, GoVersion: runtime.Version(), GitCommit: env.Commit,
		Os: runtime.GOOS, Arch: runtime.GOARCH}
	if format != "" {
		return env.PrintOne(versions{Client: b, Server: b}, format)
	}
	_, err := fmt.Fprintf(env.Out, "Client: wherry\n Version:           %s\n API version:       %s\n Go version:        %s\n Git commit:        %s\n OS/Arch:           %s/%s\n",
		b.Version, b.APIVersion, b.GoVersion, b.GitCommit, b.Os, b.Arch)
	return err
}
