package cmdkit

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/pkg/containersconf"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// DecodeConf and AddHooks are the companion's commands for the front alone.
const (
	DecodeConf = "decode-containers-conf" // FILE...: prints a containersconf.Conf
	AddHooks   = "add-oci-hooks"          // BINDS DIR...: a runtime's configuration from standard input, with hooks, to the output
)

// Conf is what the user's containers.conf files set. They are looked for at the first call.
func (e *Env) Conf() (*containersconf.Conf, error) {
	if e.conf != nil {
		return e.conf, nil
	}
	files, err := containersconf.Files(e.Getenv, e.Modules)
	if err != nil {
		return nil, err
	}
	conf, err := containersconf.Load(files, filepath.Join(e.Dirs.Cache(), "containers.conf.json"), func(files []string) ([]byte, error) {
		return e.AskCompanion(nil, append([]string{DecodeConf}, files...)...)
	})
	if err == nil {
		e.conf = conf
	}
	return conf, err
}

// AskCompanion runs one of the companion's commands that are there for the front and returns its output.
func (e *Env) AskCompanion(input []byte, args ...string) ([]byte, error) {
	cmd := exec.Command(e.Dirs.Image(), args...)
	cmd.Env = e.Environ()
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		text := strings.TrimPrefix(strings.TrimSpace(string(exit.Stderr)), "Error: ")
		return nil, errdefs.New(errdefs.ErrInvalid, "%s", text)
	}
	return out, err
}
