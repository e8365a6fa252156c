package source

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/upload"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// uploadHost is the host of URLs that mean a stream of whoever builds: a context that is a tar archive.
const uploadHost = "buildkit-session"

// uploadURL is the URL of such a stream, nil of others.
func (d *download) uploadURL() *url.URL {
	u, err := url.Parse(d.url)
	if err != nil || u.Host != uploadHost {
		return nil
	}
	return u
}

// takeUpload receives what whoever builds sends. It is sent once.
func (d *download) takeUpload(ctx context.Context, env *Env, u *url.URL) (a arrived, err error) {
	if env.Sessions == nil || env.Session == nil {
		return a, errdefs.New(errdefs.ErrInvalid, "%s: there is no session to read from", d.Name())
	}
	err = env.Sessions.Any(ctx, env.Session, func(ctx context.Context, _ string, c session.Caller) error {
		stream, err := upload.New(ctx, c, u)
		if err != nil {
			return err
		}
		r, w := io.Pipe()
		defer r.Close()
		go func() {
			_, err := stream.WriteTo(w)
			w.CloseWithError(err)
		}()
		a, err = d.receive(ctx, env, &http.Response{Header: http.Header{}, ContentLength: -1, Body: r})
		return err
	})
	return a, err
}
