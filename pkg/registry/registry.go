// Package registry applies what a user says about a registry, keeps log-ins, searches, and puts what a registry
// answers into one line that names the next step.
package registry

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// DefaultHost is the registry of names that name none.
const DefaultHost = "docker.io"

// Apply puts the user's options for the registry host into sys. An empty host applies to any.
func Apply(sys *types.SystemContext, host string, opts access.Options) error {
	if opts.AuthFile != "" {
		sys.AuthFilePath = opts.AuthFile
	}
	if opts.CertDir != "" {
		if info, err := os.Stat(opts.CertDir); err != nil || !info.IsDir() {
			return errdefs.New(errdefs.ErrInvalid, "--cert-dir %s: no such directory", opts.CertDir)
		}
		sys.DockerCertPath = opts.CertDir
	}
	if opts.Creds != "" {
		auth, err := ParseCreds(opts.Creds)
		if err != nil {
			return err
		}
		sys.DockerAuthConfig = auth
	}
	if opts.Token != "" {
		sys.DockerAuthConfig = &types.DockerAuthConfig{IdentityToken: opts.Token}
	}
	if opts.Bearer != "" {
		sys.DockerBearerRegistryToken = opts.Bearer
	}
	switch {
	case opts.TLSVerify != nil:
		sys.DockerInsecureSkipTLSVerify = types.NewOptionalBool(!*opts.TLSVerify)
	case opts.CertDir == "" && trustedLoopback(sys, host):
		sys.DockerInsecureSkipTLSVerify = types.OptionalBoolTrue
	}
	return nil
}

// trustedLoopback says whether the host may go without TLS because nobody is on the way, as Docker has it. A host
// that registries.conf or certs.d knows is treated as they say.
func trustedLoopback(sys *types.SystemContext, host string) bool {
	if !isLoopback(host) {
		return false
	}
	if found, err := sysregistriesv2.FindRegistry(sys, host); err != nil || found != nil {
		return false
	}
	for _, dir := range certDirs(host) {
		if _, err := os.Stat(dir); err == nil {
			return false
		}
	}
	return true
}

func certDirs(host string) []string {
	return []string{
		filepath.Join(os.Getenv("HOME"), ".config/containers/certs.d", host),
		filepath.Join("/etc/containers/certs.d", host),
		filepath.Join("/etc/docker/certs.d", host),
	}
}

func isLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return ip != nil && ip.IsLoopback()
}

// ParseCreds reads user[:password]; the password may hold further colons.
func ParseCreds(creds string) (*types.DockerAuthConfig, error) {
	user, password, _ := strings.Cut(creds, ":")
	if user == "" {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid --creds: want USER[:PASSWORD]")
	}
	return &types.DockerAuthConfig{Username: user, Password: password}, nil
}

// ParseHost takes what users type for a registry (a host, a URL, Docker's old index address) and gives the host,
// with its path if it has one.
func ParseHost(arg string) (string, error) {
	host := strings.TrimPrefix(strings.TrimPrefix(arg, "https://"), "http://")
	host = strings.TrimRight(host, "/")
	switch host {
	case "", "index.docker.io/v1", "index.docker.io", "registry-1.docker.io":
		return DefaultHost, nil
	}
	if strings.ContainsAny(host, " \t\r\n@?#\\") || strings.HasPrefix(host, "-") || strings.HasPrefix(host, "/") {
		return "", errdefs.New(errdefs.ErrInvalid, "invalid registry %q: want HOST[:PORT]", arg)
	}
	return host, nil
}

// oneLine joins the lines of a message.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(fmt.Sprint(err), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
