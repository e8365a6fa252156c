package source

import (
	"context"
	"errors"

	"github.com/containers/image/v5/docker/reference"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"

	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// rights are how whoever asked for the build is known to the registry of a name. Without a word of his the log-ins of
// this machine's user count.
func (e *Env) rights(ctx context.Context, named reference.Named) (access.Options, error) {
	if e.OwnLogins {
		return e.Access, nil
	}
	var o access.Options
	if e.Sessions == nil || e.Session == nil {
		return o, nil
	}
	host := reference.Domain(named)
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	_, user, secret, err := auth.CredentialsFunc(ctx, e.Sessions, e.Session)(host)
	switch {
	case errors.Is(err, session.ErrNoActiveSessions):
		return o, nil
	case err != nil:
		return o, err
	case secret == "":
	case user == "":
		o.Token = secret
	default:
		o.Creds = user + ":" + secret
	}
	return o, nil
}
