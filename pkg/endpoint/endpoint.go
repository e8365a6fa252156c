// Package endpoint connects to services of Docker's API: over a unix socket, TCP with or without TLS, or ssh.
package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Endpoint is a service that can be dialled.
type Endpoint struct {
	Address  string
	Identity string // key for ssh; empty: as ssh itself finds one
	// TLS is for tcp addresses; nil: none.
	TLS *tls.Config

	dial func(ctx context.Context) (net.Conn, error)
}

// dialTime bounds how long a service may take to answer at all.
const dialTime = 30 * time.Second

// New understands an address.
func New(address, identity string, config *tls.Config) (*Endpoint, error) {
	e := &Endpoint{Address: address, Identity: identity, TLS: config}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid address %q of a service (want unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST)", address)
	}
	switch u.Scheme {
	case "unix":
		path := strings.TrimPrefix(address, "unix://")
		if !filepath.IsAbs(path) {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid address %q: the path of the socket is not absolute", address)
		}
		e.dial = func(ctx context.Context) (net.Conn, error) { return dialer().DialContext(ctx, "unix", path) }
		return e, nil
	case "tcp", "http", "https":
		return e, e.overTCP(u)
	case "ssh":
		s, err := parseSSH(u)
		if err != nil {
			return nil, err
		}
		s.identity = identity
		e.dial = s.dial
		return e, nil
	}
	return nil, errdefs.New(errdefs.ErrInvalid, "invalid address %q of a service (want unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST)", address)
}

func dialer() *net.Dialer { return &net.Dialer{Timeout: dialTime, KeepAlive: dialTime} }

// Docker's ports.
const (
	plainPort = "2375"
	tlsPort   = "2376"
)

func (e *Endpoint) overTCP(u *url.URL) error {
	if u.Path != "" && u.Path != "/" {
		return errdefs.New(errdefs.ErrInvalid, "invalid address %q: no path follows the port", e.Address)
	}
	if u.Scheme == "https" && e.TLS == nil {
		e.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = plainPort
		if e.TLS != nil {
			port = tlsPort
		}
	}
	e.dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dialer().DialContext(ctx, "tcp", net.JoinHostPort(host, port))
		if err != nil || e.TLS == nil {
			return conn, err
		}
		config := e.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName = host
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return secured, nil
	}
	return nil
}

// Dial connects.
func (e *Endpoint) Dial(ctx context.Context) (net.Conn, error) { return e.dial(ctx) }

// DialContext is Dial for HTTP clients, which have an address of their own.
func (e *Endpoint) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return e.dial(ctx)
}

// TLSFiles makes a configuration of PEM files; empty names are left out.
func TLSFiles(verify bool, ca, cert, key string) (*tls.Config, error) {
	read := func(path string) ([]byte, error) {
		if path == "" {
			return nil, nil
		}
		return os.ReadFile(path)
	}
	caPEM, err := read(ca)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "--tlscacert: %v", err)
	}
	certPEM, err := read(cert)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "--tlscert: %v", err)
	}
	keyPEM, err := read(key)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "--tlskey: %v", err)
	}
	return TLS(verify, caPEM, certPEM, keyPEM)
}

// TLS makes a configuration of PEM; without a CA those of the machine count. Without verify the server may be anybody.
func TLS(verify bool, ca, cert, key []byte) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !verify}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errdefs.New(errdefs.ErrInvalid, "the CA of the service holds no PEM certificate")
		}
	}
	if len(cert) > 0 || len(key) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "the client's certificate and key for the service: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
