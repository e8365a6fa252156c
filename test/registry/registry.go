// Package registry starts Debian's docker-registry on the loopback interface for a test: plain or with TLS, open or
// with a log-in.
package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Options say what the registry is like.
type Options struct {
	TLS            bool
	User, Password string // empty: no log-in
}

// Registry is one that runs until the end of the test.
type Registry struct {
	Host    string // 127.0.0.1:PORT
	CertDir string // with TLS: holds ca.crt, as --cert-dir wants it
	cmd     *exec.Cmd
}

// Start starts a registry, or skips the test where the program is not installed.
func Start(t testing.TB, opts Options) *Registry {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed (sudo apt install docker-registry)")
	}
	r := &Registry{Host: freeAddress(t)}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	write(t, config, r.config(t, dir, opts))
	r.cmd = exec.Command(program, "serve", config)
	r.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	r.wait(t, opts.TLS)
	return r
}

// Stop ends the registry; it may be called twice.
func (r *Registry) Stop() {
	if r.cmd.ProcessState == nil {
		r.cmd.Process.Kill()
		r.cmd.Wait()
	}
}

func (r *Registry) config(t testing.TB, dir string, opts Options) string {
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage:\n  filesystem: {rootdirectory: %s}\n  delete: {enabled: true}\nhttp:\n  addr: %s\n",
		filepath.Join(dir, "data"), r.Host)
	if opts.TLS {
		r.CertDir = filepath.Join(dir, "certs")
		key := makeCertificate(t, r.CertDir)
		text += fmt.Sprintf("  tls: {certificate: %s, key: %s}\n", filepath.Join(r.CertDir, "ca.crt"), key)
	}
	if opts.User != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(opts.Password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		users := filepath.Join(dir, "htpasswd")
		write(t, users, opts.User+":"+string(hash)+"\n")
		text += fmt.Sprintf("auth:\n  htpasswd: {realm: test, path: %s}\n", users)
	}
	return text
}

// makeCertificate writes a self-signed certificate for the loopback interface to dir/ca.crt and returns its key's
// path.
func makeCertificate(t testing.TB, dir string) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test registry"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	path := filepath.Join(filepath.Dir(dir), "key.pem") // not beside it: a client takes *.key there for its own
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
	return path
}

func (r *Registry) wait(t testing.TB, useTLS bool) {
	scheme := "http"
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	if useTLS {
		scheme = "https"
	}
	for range 200 {
		answer, err := client.Get(scheme + "://" + r.Host + "/v2/")
		if err == nil {
			answer.Body.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the registry does not answer")
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func write(t testing.TB, path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
