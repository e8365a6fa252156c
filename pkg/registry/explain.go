package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/signature"
	"github.com/docker/distribution/registry/api/errcode"
	v2 "github.com/docker/distribution/registry/api/v2"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Place is what an error of a registry is about.
type Place struct {
	Host string
	Repo string // empty: the registry itself
	Ref  string // :tag or @digest
}

// PlaceOf is the place of an image.
func PlaceOf(named reference.Named) Place {
	p := Place{Host: reference.Domain(named), Repo: reference.Path(named)}
	if tagged, ok := named.(reference.Tagged); ok {
		p.Ref = ":" + tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		p.Ref = "@" + digested.Digest().String()
	}
	return p
}

func (p Place) String() string {
	if p.Repo == "" {
		return "registry " + p.Host
	}
	return p.Host + "/" + p.Repo + p.Ref
}

// explainer recognizes one kind of fault and says it in one line; "" means it is another's.
type explainer func(err error, p Place) (text string, kind error)

var explainers = []explainer{explainAnswer, explainTLS, explainNetwork, explainPolicy}

// Explain puts what went wrong at a place into one line: what was done, where, why, and what to do next.
func Explain(doing string, err error, p Place) error {
	if err == nil || isExplained(err) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return &explained{kind: err, text: fmt.Sprintf("%s %s: interrupted", doing, p)}
	}
	for _, explain := range explainers {
		if text, kind := explain(err, p); text != "" {
			return &explained{kind: kind, text: fmt.Sprintf("%s %s: %s", doing, p, text)}
		}
	}
	return &explained{kind: err, text: fmt.Sprintf("%s %s: %s", doing, p, oneLine(err))}
}

// explained is a complete one-line error.
type explained struct {
	kind error
	text string
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.kind }

func isExplained(err error) bool {
	var done *explained
	return errors.As(err, &done)
}

// Refused tells whether it was the registry that said no.
func Refused(err error) bool {
	text, _ := explainAnswer(err, Place{})
	return text != ""
}

// explainAnswer is about what the registry itself said.
func explainAnswer(err error, p Place) (string, error) {
	var credentials docker.ErrUnauthorizedForCredentials
	if errors.As(err, &credentials) {
		return fmt.Sprintf("registry %s refuses the user name or password (run: wherry login %s)", p.Host, p.Host), err
	}
	if errors.Is(err, docker.ErrTooManyRequests) {
		return fmt.Sprintf("registry %s allows no more requests for now (wait, or run: wherry login %s)", p.Host, p.Host), err
	}
	var status docker.UnexpectedHTTPStatusError
	if errors.As(err, &status) {
		return explainStatus(status.StatusCode, p), kindOfStatus(status.StatusCode, err)
	}
	var coded errcode.Error
	if !errors.As(err, &coded) {
		return "", nil
	}
	switch coded.Code {
	case errcode.ErrorCodeUnauthorized:
		return explainStatus(http.StatusUnauthorized, p), err
	case errcode.ErrorCodeDenied:
		return explainStatus(http.StatusForbidden, p), err
	case v2.ErrorCodeManifestUnknown:
		return notFoundText(p), errdefs.ErrNotFound
	case v2.ErrorCodeNameUnknown:
		return fmt.Sprintf("registry %s has no repository %q (check the name, or run: wherry search %s/)", p.Host, p.Repo, p.Host), errdefs.ErrNotFound
	}
	return "", nil
}

func notFoundText(p Place) string {
	return fmt.Sprintf("not found: repository %q of registry %s has no such image (see its tags with: wherry search --list-tags %s/%s)", p.Repo, p.Host, p.Host, p.Repo)
}

func explainStatus(code int, p Place) string {
	switch code {
	case http.StatusUnauthorized:
		return fmt.Sprintf("registry %s asks for a log-in (run: wherry login %s)", p.Host, p.Host)
	case http.StatusForbidden:
		return fmt.Sprintf("access denied by registry %s: no such repository, or another log-in is needed (check the name, or run: wherry login %s)", p.Host, p.Host)
	case http.StatusNotFound:
		if p.Repo != "" {
			return notFoundText(p)
		}
		return fmt.Sprintf("%s is no registry (it answers 404)", p.Host)
	}
	return fmt.Sprintf("registry %s answers %d %s", p.Host, code, http.StatusText(code))
}

func kindOfStatus(code int, err error) error {
	if code == http.StatusNotFound {
		return errdefs.ErrNotFound
	}
	return err
}

// explainTLS is about the two ways that TLS goes wrong: the registry has none, or a certificate nobody vouches for.
func explainTLS(err error, p Place) (string, error) {
	var record tls.RecordHeaderError
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") || errors.As(err, &record) {
		return fmt.Sprintf("registry %s speaks plain HTTP, not HTTPS (if that is meant: --tls-verify=false, or insecure = true in registries.conf)", p.Host), err
	}
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	if errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &host) {
		return fmt.Sprintf("the certificate of registry %s is not trusted: %s (put its CA into /etc/containers/certs.d/%s/ca.crt, or name its directory with --cert-dir, or use --tls-verify=false)",
			p.Host, oneLine(lastCause(err)), p.Host), err
	}
	return "", nil
}

// explainNetwork is about not getting there.
func explainNetwork(err error, p Place) (string, error) {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Sprintf("cannot find host %s (check the name and the network: %s)", p.Host, dns.Err), err
	}
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no registry answers at %s: connection refused (is it running?)", p.Host), err
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN):
		return fmt.Sprintf("no route to registry %s (check the network)", p.Host), err
	case errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Sprintf("registry %s does not answer in time (check the network, or try again)", p.Host), err
	}
	return "", nil
}

func explainPolicy(err error, p Place) (string, error) {
	var policy signature.PolicyRequirementError
	if errors.As(err, &policy) || strings.Contains(err.Error(), "Source image rejected") {
		return fmt.Sprintf("rejected by the signature policy (policy.json): %s", oneLine(lastCause(err))), err
	}
	return "", nil
}

func lastCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
