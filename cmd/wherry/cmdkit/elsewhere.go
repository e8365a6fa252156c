package cmdkit

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/pkg/endpoint/wish"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// wishFlags say where commands are to be carried out, in Docker's and in Podman's words.
func wishFlags(w *wish.Wish) []cli.Flag {
	return []cli.Flag{
		String(&w.Context, "connection context c", "Let the service of context `NAME` do it; default is this machine"),
		String(&w.Address, "host H url", "Let the service at `ADDRESS` do it: unix://PATH, tcp://HOST:PORT, ssh://[USER@]HOST"),
		String(&w.Identity, "identity", "`FILE` with the key for ssh"),
		Bool(&w.Remote, "remote r", "Let a service elsewhere do it, and nobody here"),
		Func("ssh", "Which ssh: `native`, the program, is there", func(s string) error {
			if s != "native" {
				return errors.New("only native is there: ssh is the program of that name")
			}
			return nil
		}),
		Bool(&w.TLS.Use, "tls", "Speak TLS to a tcp address"),
		tlsFile(w, &w.TLS.CA, "tlscacert tls-ca", "`FILE` with the CA of the service's certificate"),
		tlsFile(w, &w.TLS.Cert, "tlscert tls-cert", "`FILE` with the client's certificate"),
		tlsFile(w, &w.TLS.Key, "tlskey tls-key", "`FILE` with the client's key"),
		Bool(&w.TLS.Verify, "tlsverify", "Speak TLS, and insist on a certificate that the CA vouches for"),
	}
}

// tlsFile is a flag that means TLS, too.
func tlsFile(w *wish.Wish, p *string, names, usage string) *Flag {
	return Func(names, usage, func(path string) error {
		*p, w.TLS.Use = path, true
		return nil
	})
}

// Own is the address of this user's own service; empty where there can be none.
func (e *Env) Own() string {
	run, err := layout.RunDir(e.Getenv)
	if err != nil {
		return ""
	}
	return "unix://" + layout.Dirs{Run: run}.Socket()
}
