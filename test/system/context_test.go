package system

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// elsewhere is the same user with another store, and a home where nothing was chosen yet.
func elsewhere(t *testing.T) *testkit.Store {
	t.Helper()
	if _, err := os.Stat(filepath.Join(filepath.Dir(shared.Bin), "libexec", "wherry", "wherry-remote")); err != nil {
		t.Skip("wherry-remote is not built")
	}
	home := t.TempDir()
	s := *shared.With("HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"), "DOCKER_CONFIG="+filepath.Join(home, ".docker"),
		"DOCKER_HOST=", "CONTAINER_HOST=", "DOCKER_CONTEXT=", "CONTAINER_CONNECTION=")
	s.Data = filepath.Join(home, "data")
	s.Run = filepath.Join(filepath.Dir(shared.Run), "r"+filepath.Base(home))
	t.Cleanup(func() {
		s.Try(t, "unshare", "rm", "-rf", s.Data, s.Run)
	})
	return &s
}

// flag: context create --description --docker --from
// flag: context ls --format --quiet
// flag: context inspect --format
// flag: context update --description --docker
// flag: context rm --force
// flag: context use, context show
// flag: context export, context import
func TestContexts(t *testing.T) {
	t.Parallel()
	s := elsewhere(t)
	s.MustFail(t, 125, "no context \"far\"", "context", "use", "far")
	s.MustFail(t, 125, "is not known (host, ca, cert, key", "context", "create", "far", "--docker", "hots=x")
	s.MustFail(t, 125, "invalid address", "context", "create", "far", "--docker", "host=ftp://x")
	s.MustFail(t, 125, "where is the service?", "context", "create", "far")
	s.Must(t, "context", "create", "--description", "the other", "--docker", "host=ssh://me@far.example", "far")
	s.Must(t, "context", "create", "--from", "far", "copy")
	s.MustFail(t, 125, "already exists", "context", "create", "--docker", "host=tcp://x:1", "far")
	if got := s.Must(t, "context", "ls", "-q"); got != "default\ncopy\nfar" {
		t.Errorf("contexts %q", got)
	}
	if got := s.Must(t, "context", "ls", "--format", "{{.Name}} {{.Current}} {{.Description}} {{.DockerEndpoint}}"); !strings.Contains(got, "copy false the other ssh://me@far.example") ||
		!strings.Contains(got, "default true ") {
		t.Errorf("contexts %q", got)
	}
	s.Must(t, "context", "update", "--description", "changed", "far")
	s.Must(t, "context", "update", "--docker", "host=unix:///x.sock", "copy")
	if got := s.Must(t, "context", "inspect", "-f", "{{.Name}} {{.Metadata.Description}} {{.Endpoints.docker.Host}}", "far", "copy"); got != "far changed ssh://me@far.example\ncopy the other unix:///x.sock" {
		t.Errorf("inspect %q", got)
	}
	// A docker beside it finds them too.
	if found, _ := filepath.Glob(filepath.Join(filepath.Dir(s.Data), ".docker/contexts/meta/*/meta.json")); len(found) != 2 {
		t.Errorf("on disk %q", found)
	}
	s.Must(t, "context", "use", "far")
	if got := s.Must(t, "context", "show"); got != "far" {
		t.Errorf("in use %q", got)
	}
	s.MustFail(t, 1, "is in use", "context", "rm", "far")
	file := filepath.Join(t.TempDir(), "far.ctx")
	s.Must(t, "context", "export", "far", file)
	s.Must(t, "context", "rm", "-f", "far")
	if got := s.Must(t, "context", "show"); got != "default" {
		t.Errorf("in use after its removal %q", got)
	}
	s.Must(t, "context", "import", "back", file)
	if got := s.Must(t, "context", "inspect", "-f", "{{.Metadata.Description}}", "back"); got != "changed" {
		t.Errorf("imported %q", got)
	}
	if err := os.WriteFile(file, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.MustFail(t, 125, "", "context", "import", "broken", file)
	s.MustFail(t, 125, "this machine", "context", "update", "--description", "x", "default")
}

// flag: system connection add --default --identity --port --socket-path --tls-ca --tls-cert --tls-key
// flag: system connection ls --format --quiet
// flag: system connection default, system connection rename
// flag: system connection rm --all
func TestConnections(t *testing.T) {
	t.Parallel()
	s := elsewhere(t)
	ca, cert, key := certificates(t)
	s.Must(t, "system", "connection", "add", "--identity", "/key", "--port", "2222", "--socket-path", "/run/x.sock", "one", "me@host.example")
	s.Must(t, "system", "connection", "add", "-d", "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key, "two", "tcp://127.0.0.1:1")
	if got := s.Must(t, "system", "connection", "ls", "--format", "{{.Name}} {{.URI}} {{.Identity}} {{.Default}}"); got !=
		"one ssh://me@host.example:2222/run/x.sock /key false\ntwo tcp://127.0.0.1:1  true" {
		t.Errorf("connections %q", got)
	}
	if got := s.Must(t, "context", "inspect", "-f", "{{json .TLSMaterial}}", "two"); got != `{"docker":["ca.pem","cert.pem","key.pem"]}` {
		t.Errorf("certificates %q", got)
	}
	s.Must(t, "system", "connection", "rename", "two", "three")
	if got := s.Must(t, "context", "show"); got != "three" {
		t.Errorf("in use after the renaming %q", got)
	}
	s.Must(t, "system", "connection", "default", "one")
	s.MustFail(t, 125, "already exists", "system", "connection", "rename", "one", "three")
	s.MustFail(t, 125, "works on this machine only, and context \"one\" was asked for", "secret", "ls")
	s.Must(t, "system", "connection", "rm", "--all")
	if got := s.Must(t, "system", "connection", "ls", "-q"); got != "" {
		t.Errorf("left %q", got)
	}
}

// What the user's own store does not have the service elsewhere has: with a flag, a variable, a context in use.
//
// flag: (global) --host --url --context --connection --remote
func TestElsewhere(t *testing.T) {
	t.Parallel()
	s := elsewhere(t)
	api := startREST(t, shared)
	address := "unix://" + api.socket
	s.Must(t, "context", "create", "far", "--docker", "host="+address)
	name := shared.Name(t)
	s.Must(t, "--host", address, "run", "-d", "--name", name, testkit.Image, "sh", "-c", "echo hello; exec sleep 1000")
	if got := shared.Must(t, "inspect", "-f", "{{.State.Status}}", name); got != "running" {
		t.Errorf("the container is %s", got)
	}
	filter := []string{"ps", "--filter", "name=" + name, "--format", "{{.Names}}"}
	for what, c := range map[string]struct {
		env  string
		args []string
	}{
		"--url":          {"", []string{"--url", address}},
		"-H":             {"", []string{"-H", address}},
		"--context":      {"", []string{"--context", "far"}},
		"-c":             {"", []string{"-c", "far"}},
		"--connection":   {"", []string{"--connection", "far"}},
		"DOCKER_HOST":    {"DOCKER_HOST=" + address, nil},
		"CONTAINER_HOST": {"CONTAINER_HOST=" + address, nil},
		"DOCKER_CONTEXT": {"DOCKER_CONTEXT=far", nil},
	} {
		if got := s.With(c.env).Must(t, append(c.args, filter...)...); got != name {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := s.Must(t, filter...); got != "" {
		t.Errorf("here: %q", got)
	}
	s.Must(t, "context", "use", "far")
	if got := s.Must(t, "--remote", "exec", name, "echo", "there"); got != "there" {
		t.Errorf("exec says %q", got)
	}
	if got := s.Must(t, "logs", name); got != "hello" {
		t.Errorf("logs say %q", got)
	}
	if r := s.Try(t, "exec", name, "sh", "-c", "exit 9"); r.Code != 9 {
		t.Errorf("exec exits with %d: %s", r.Code, r.Stderr)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("carried"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Must(t, "cp", file, name+":/f")
	if got := shared.Must(t, "exec", name, "cat", "/f"); got != "carried" {
		t.Errorf("copied %q", got)
	}
	if got := s.Must(t, "--context", "default", "ps", "-aq"); got != "" {
		t.Errorf("here: %q", got)
	}
	s.Must(t, "rm", "-f", name)
	if shared.Try(t, "container", "exists", name).Code == 0 {
		t.Error("the container is still there")
	}
	s.Must(t, "context", "use", "default")
	s.MustFail(t, 125, "no service is named", "--remote", "ps")
	s.MustFail(t, 125, "exclude each other", "--host", address, "--context", "far", "ps")
	s.MustFail(t, 125, "cannot reach the service at unix:///nowhere.sock: no such file or directory", "--host", "unix:///nowhere.sock", "ps")
	s.MustFail(t, 125, "cannot reach the service at tcp://127.0.0.1:1: connection refused", "--host", "tcp://127.0.0.1:1", "ps")
	s.MustFail(t, 125, "invalid address", "--host", "somewhere", "ps")
	s.MustFail(t, 125, "volume export works on this machine only", "--host", address, "volume", "export", "v")
	// The own service's address is here: nobody has to run there.
	if got := s.With("DOCKER_HOST=unix://"+filepath.Join(s.Run, "wherry.sock")).Must(t, "ps", "-q"); got != "" {
		t.Errorf("own address: %q", got)
	}
}

// ssh, as far as it concerns us: a program that runs a command there and whose standard streams are the connection.
//
// flag: (global) --identity --ssh
// flag: system dial-stdio
func TestElsewhereBySSH(t *testing.T) {
	t.Parallel()
	s := elsewhere(t)
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	// It notes what it was asked for, and is the far machine itself, with a home and a store of its own.
	script := "#!/bin/sh\necho \"$(id -u) $@\" >> " + log + "\nfor c; do :; done\n" +
		"export PATH=" + filepath.Dir(s.Bin) + ":$PATH WHERRY_DATA=" + shared.Data + " WHERRY_RUN=" + shared.Run + " CONTAINER_HOST= DOCKER_HOST= XDG_CONFIG_HOME=/nowhere\nexec sh -c \"$c\"\n"
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	name := shared.Name(t)
	shared.Must(t, "create", "--name", name, testkit.Image)
	got := s.With(path).Must(t, "--ssh", "native", "--identity", "/my/key", "--host", "ssh://me@far.example:2222", "ps", "-a", "--filter", "name="+name, "--format", "{{.Names}}")
	if got != name {
		t.Errorf("over ssh: %q", got)
	}
	said, _ := os.ReadFile(log)
	if !strings.Contains(string(said), "-l me -p 2222 -i /my/key -- far.example") {
		t.Errorf("ssh got %s", said)
	}
	api := startREST(t, shared)
	if got := s.With(path).Must(t, "--host", "ssh://far.example"+api.socket, "ps", "-a", "--filter", "name="+name, "--format", "{{.Names}}"); got != name {
		t.Errorf("to a socket over ssh: %q", got)
	}
	s.MustFail(t, 125, "only native is there", "--ssh", "golang", "--host", "ssh://x", "ps")
	s.MustFail(t, 125, "a password cannot be given", "--host", "ssh://me:secret@x", "ps")
	s.MustFail(t, 125, "do not begin with -", "--host", "ssh://-oProxyCommand=x/", "ps")
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\necho 'no route to it for' $(id -u) >&2\nexit 255\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Once the user namespace is there every command begins in it as its root; ssh looks for the keys of the user outside.
	s.Must(t, "ps", "-q")
	s.With(path).MustFail(t, 125, fmt.Sprint("ssh to far.example: no route to it for ", os.Getuid()), "--host", "ssh://far.example", "ps")
}

// Over TCP both sides show certificates.
//
// flag: (global) --tls --tlscacert --tlscert --tlskey --tlsverify --tls-ca --tls-cert --tls-key
func TestElsewhereByTLS(t *testing.T) {
	t.Parallel()
	s := elsewhere(t)
	ca, cert, key := certificates(t)
	address := freeTCP(t)
	cmd := shared.Command(context.Background(), "system", "service", "--time", "0", "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca, "tcp://"+address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	testkit.Eventually(t, "the service listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	ask := []string{"images", "-q", testkit.Image}
	docker := []string{"--host", "tcp://" + address, "--tlsverify", "--tlscacert", ca, "--tlscert", cert, "--tlskey", key}
	podman := []string{"--url", "tcp://" + address, "--tls-ca", ca, "--tls-cert", cert, "--tls-key", key}
	for _, flags := range [][]string{docker, podman} {
		if got := s.Must(t, append(flags, ask...)...); got == "" {
			t.Errorf("%q: no image", flags)
		}
	}
	s.Must(t, "context", "create", "secured", "--docker", "host=tcp://"+address+",ca="+ca+",cert="+cert+",key="+key)
	if got := s.Must(t, append([]string{"-c", "secured"}, ask...)...); got == "" {
		t.Error("by a context: no image")
	}
	dir := filepath.Dir(ca) // has them under Docker's names
	if got := s.With("DOCKER_HOST=tcp://"+address, "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH="+dir).Must(t, ask...); got == "" {
		t.Error("by variables: no image")
	}
	s.MustFail(t, 125, "certificate", "--host", "tcp://"+address, "--tls", "ps")                        // it shows none
	s.MustFail(t, 125, "", "--host", "tcp://"+address, "ps")                                            // it does not speak TLS
	s.MustFail(t, 125, "no such file", "--host", "tcp://"+address, "--tlscacert", "/nowhere.pem", "ps") // it has none
	other, _, _ := certificates(t)
	s.MustFail(t, 125, "certificate", "--host", "tcp://"+address, "--tlsverify", "--tlscacert", other, "--tlscert", cert, "--tlskey", key, "ps")
}

// freePort is an address on the loopback interface that nobody listens on.
func freeTCP(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// certificates writes ca.pem, cert.pem and key.pem: one certificate for both sides on the loopback interface.
func certificates(t testing.TB) (ca, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("ca.pem", "CERTIFICATE", der), write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", keyDER)
}
