// Command enter stands for wherry in the tests of pkg/rootless: it enters the user namespace and does one thing.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless"
	_ "github.com/wherry-containers/wherry/pkg/rootless/join" // the entry stub
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(125)
	}
}

func run(args []string) error {
	if args[0] == "hello" { // the plain start that benchmarks compare with
		return nil
	}
	if err := rootless.Enter(rootless.EnterOptions{SingleID: os.Getenv("ENTER_SINGLE") != ""}); err != nil {
		return err
	}
	switch args[0] {
	case "true":
		return nil
	case "stop":
		return rootless.Stop(context.Background())
	case "exec":
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
	return show(args)
}

// Shown is what the tests look at.
type Shown struct {
	Status    rootless.Status
	EUID      int
	EGID      int
	Joined    bool // by the stub
	Cwd       string
	Namespace string
	Mounts    string
	Args      []string
	Env       map[string]string
}

func show(args []string) error {
	shown := Shown{Status: rootless.Report(), EUID: os.Geteuid(), EGID: os.Getegid(), Joined: realuser.Early.Joined != 0, Args: args, Env: map[string]string{}}
	var err error
	if shown.Cwd, err = os.Getwd(); err != nil {
		shown.Cwd = err.Error()
	}
	if shown.Namespace, err = os.Readlink("/proc/self/ns/user"); err != nil {
		return err
	}
	if shown.Mounts, err = os.Readlink("/proc/self/ns/mnt"); err != nil {
		return err
	}
	for _, name := range []string{"HOME", "_CONTAINERS_USERNS_CONFIGURED", "_CONTAINERS_ROOTLESS_UID", "_CONTAINERS_ROOTLESS_GID", "_WHERRY_ENTER"} {
		if value, ok := os.LookupEnv(name); ok {
			shown.Env[name] = value
		}
	}
	return json.NewEncoder(os.Stdout).Encode(shown)
}
