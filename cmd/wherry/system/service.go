package system

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// ServiceOptions is what `system service` needs.
type ServiceOptions struct {
	URI      string        // unix:///PATH, tcp://HOST:PORT, or fd://: the sockets that systemd hands down; empty: those, else the user's own
	Idle     time.Duration // ends after so long without a request; 0: never
	CertFile string        // of TLS, which TCP needs
	KeyFile  string
	ClientCA string // who signs the clients' certificates
	Insecure bool   // TCP without all that
}

type serviceKey struct{}

// WithService makes the command under ctx serve with run, which the companion has.
func WithService(ctx context.Context, run func(context.Context, *cmdkit.Env, ServiceOptions) error) context.Context {
	return context.WithValue(ctx, serviceKey{}, run)
}

// Service is `wherry system service`.
func Service(env *cmdkit.Env) *cli.Command {
	opts := ServiceOptions{Idle: 5 * time.Second}
	idle := cmdkit.Func("time t", "End after `SECONDS` without a request, 0 for never", func(s string) error {
		n, err := values.Count(s)
		opts.Idle = time.Duration(n) * time.Second
		return err
	})
	idle.Default = "5"
	return &cli.Command{
		Name: "service", Usage: "Answer Docker's API", ArgsUsage: "[URI]",
		Description: "It listens on the socket that systemd hands down (contrib/systemd), else on $XDG_RUNTIME_DIR/wherry/wherry.sock, or on the URI:\n" +
			"unix:///PATH or tcp://HOST:PORT. Who may talk to it may do whatever you may: over TCP it wants certificates of its clients.\n" +
			"Clients find it by DOCKER_HOST=unix://$XDG_RUNTIME_DIR/wherry/wherry.sock.",
		Flags: append([]cli.Flag{
			idle,
			cmdkit.String(&opts.CertFile, "tls-cert", "`FILE` with the certificate of the service, for TCP"),
			cmdkit.String(&opts.KeyFile, "tls-key", "`FILE` with its key"),
			cmdkit.String(&opts.ClientCA, "tls-client-ca", "`FILE` with the authority that signs the clients' certificates"),
			cmdkit.Bool(&opts.Insecure, "insecure", "TCP without TLS and without a proof of who the client is: whoever reaches the port is you"),
		}, cmdkit.Refused("cors", "a web page that may talk to the service may do whatever you may (use a proxy of your own)")...),
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return cmdkit.Operandsf("%q takes one URI", env.Program+" system service")
			}
			opts.URI = c.Args().First()
			run, ok := c.Context.Value(serviceKey{}).(func(context.Context, *cmdkit.Env, ServiceOptions) error)
			if !ok {
				return errdefs.New(errdefs.ErrUnsupported, "%s system service needs its companion %s", env.Program, env.Dirs.Compose())
			}
			if (opts.CertFile == "") != (opts.KeyFile == "") {
				return cmdkit.Usagef("--tls-cert and --tls-key go together")
			}
			return run(c.Context, env, opts)
		},
	}
}

// ErrNoURI says what a URI of the service looks like.
func ErrNoURI(uri string) error {
	return errdefs.New(errdefs.ErrInvalid, "%q is not where a service can listen (%s)", uri, fmt.Sprintf("%s, %s or %s", "unix:///PATH", "tcp://HOST:PORT", "fd://"))
}
