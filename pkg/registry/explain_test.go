package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/docker/distribution/registry/api/errcode"
	v2 "github.com/docker/distribution/registry/api/v2"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func TestExplain(t *testing.T) {
	named, err := reference.ParseNormalizedNamed("reg.example:5000/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	place := PlaceOf(named)
	network := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://reg.example:5000/v2/", Err: &net.OpError{Op: "dial", Err: err}}
	}
	for _, c := range []struct {
		err   error
		kind  error
		words string
	}{
		{errcode.ErrorCodeUnauthorized.WithMessage("x"), nil, "asks for a log-in|wherry login reg.example:5000"},
		{errcode.ErrorCodeDenied.WithMessage("x"), nil, "access denied|check the name"},
		{v2.ErrorCodeManifestUnknown.WithMessage("x"), errdefs.ErrNotFound, `not found|"team/app"|--list-tags reg.example:5000/team/app`},
		{v2.ErrorCodeNameUnknown.WithMessage("x"), errdefs.ErrNotFound, `no repository "team/app"|wherry search reg.example:5000/`},
		{docker.ErrUnauthorizedForCredentials{Err: errors.New("x")}, nil, "refuses the user name or password"},
		{docker.ErrTooManyRequests, nil, "no more requests"},
		{docker.UnexpectedHTTPStatusError{StatusCode: 503}, nil, "503 Service Unavailable"},
		{docker.UnexpectedHTTPStatusError{StatusCode: 404}, errdefs.ErrNotFound, "not found"},
		{network(syscall.ECONNREFUSED), syscall.ECONNREFUSED, "no registry answers|is it running"},
		{network(syscall.EHOSTUNREACH), syscall.EHOSTUNREACH, "no route to registry reg.example:5000"},
		{network(os.ErrDeadlineExceeded), nil, "does not answer in time"},
		{network(&net.DNSError{Err: "no such host", Name: "reg.example"}), nil, "cannot find host"},
		{errors.New("http: server gave HTTP response to HTTPS client"), nil, "plain HTTP|--tls-verify=false"},
		{x509.UnknownAuthorityError{}, nil, "not trusted|certs.d/reg.example:5000/ca.crt|--cert-dir"},
		{context.Canceled, context.Canceled, "interrupted"},
		{errors.New("first\nsecond"), nil, "first; second"},
	} {
		got := Explain("pull", fmt.Errorf("deep inside: %w", c.err), place)
		if !strings.HasPrefix(got.Error(), "pull reg.example:5000/team/app:1: ") || strings.Contains(got.Error(), "\n") {
			t.Errorf("%q", got)
		}
		for _, word := range strings.Split(c.words, "|") {
			if !strings.Contains(got.Error(), word) {
				t.Errorf("%q does not say %q", got, word)
			}
		}
		if c.kind != nil && !errors.Is(got, c.kind) {
			t.Errorf("%q is not %v", got, c.kind)
		}
		if again := Explain("push", got, place); again != got {
			t.Errorf("explained twice: %q", again)
		}
	}
	if Explain("pull", nil, place) != nil {
		t.Error("an error out of nothing")
	}
}
