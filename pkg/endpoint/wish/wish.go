// Package wish is what a user says about where a command is to be carried out: here, or by a service of Docker's API
// somewhere else. It is apart from package endpoint so that the front stays small.
package wish

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Here is the context that stands for this machine, without any service.
const Here = "default"

// Wish is where a command is to be carried out. The zero value is here.
type Wish struct {
	Address  string // unix://PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT][/PATH]
	Context  string
	Remote   bool   // not here, wherever else
	Identity string // file with the key for ssh
	TLS      TLS
}

// TLS is what a user says about a tcp address. The files are PEM.
type TLS struct {
	Use, Verify   bool
	CA, Cert, Key string
}

// Elsewhere tells whether it is not here.
func (w Wish) Elsewhere() bool { return w.Address != "" || w.Context != "" && w.Context != Here }

// Choose completes what flags say by the environment and the chosen context. own is the address of this user's own
// service: what goes there is done here, without it. The order is Docker's.
func Choose(w Wish, own func() string, getenv func(string) string) (Wish, error) {
	if w.Address != "" && w.Context != "" {
		return w, errdefs.New(errdefs.ErrInvalid, "--host (or --url) and --context (or --connection) exclude each other")
	}
	if w.Address == "" && w.Context == "" {
		w.Address = first(getenv("CONTAINER_HOST"), getenv("DOCKER_HOST"))
	}
	if w.Address == "" && w.Context == "" {
		w.Context = first(getenv("CONTAINER_CONNECTION"), getenv("DOCKER_CONTEXT"), Chosen(getenv))
	}
	if w.Address != "" && w.Address == own() {
		w.Address = ""
	}
	if w.Context == Here {
		w.Context = ""
	}
	switch {
	case w.Remote && !w.Elsewhere():
		return w, errdefs.New(errdefs.ErrInvalid, "--remote: no service is named (use --url, CONTAINER_HOST, or: wherry context use NAME)")
	case w.Address != "" && !strings.Contains(w.Address, "://"):
		return w, errdefs.New(errdefs.ErrInvalid, "invalid address %q of a service: want unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST", w.Address)
	}
	if w.Identity == "" {
		w.Identity = getenv("CONTAINER_SSHKEY")
	}
	return w.withTLS(getenv), nil
}

// withTLS adds what Docker's variables say.
func (w Wish) withTLS(getenv func(string) string) Wish {
	t := &w.TLS
	if getenv("DOCKER_TLS_VERIFY") != "" {
		t.Verify = true
	}
	t.Use = t.Use || t.Verify
	dir := getenv("DOCKER_CERT_PATH")
	if dir == "" || !t.Use {
		return w
	}
	for name, into := range map[string]*string{"ca.pem": &t.CA, "cert.pem": &t.Cert, "key.pem": &t.Key} {
		if *into == "" {
			*into = filepath.Join(dir, name)
		}
	}
	return w
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// ChoiceFile is where the name of the chosen context is kept. It is wherry's own: a docker beside it has another.
func ChoiceFile(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "wherry", "context")
}

// Chosen is the chosen context; empty when none was ever chosen.
func Chosen(getenv func(string) string) string {
	path := ChoiceFile(getenv)
	if path == "" {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(name)
}
