package system

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/net/websocket"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// flag: system service --time
func TestServiceEndsWhenIdle(t *testing.T) {
	t.Parallel()
	v := startService(t, shared, "--time", "1", "unix://"+shared.Run+".idle")
	v.socket = shared.Run + ".idle"
	v.await(t)
	if info, err := os.Stat(v.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info.Mode(), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- v.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v %s", err, v.said)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it is still there")
	}
	if _, err := os.Stat(v.socket); !os.IsNotExist(err) {
		t.Error("the socket is still there", err)
	}
}

// TestServiceStaysForAStream: who follows something keeps the service there.
func TestServiceStaysForAStream(t *testing.T) {
	t.Parallel()
	name := up(t, trapping, "--network", "none")
	v := startService(t, shared, "--time", "1", "unix://"+shared.Run+".stream")
	v.socket = shared.Run + ".stream"
	c := v.await(t).client(t)
	logs, err := c.ContainerLogs(t.Context(), name, client.ContainerLogsOptions{ShowStdout: true, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	time.Sleep(1500 * time.Millisecond) // longer than it stays by itself
	if _, err := c.Ping(t.Context(), client.PingOptions{}); err != nil {
		t.Error(err)
	}
	v.stop(syscall.SIGTERM)
	if v.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("SIGTERM: %v %s", v.cmd.ProcessState, v.said)
	}
	if state := field(t, name, "{{.State.Status}}"); state != "running" {
		t.Errorf("the container is %s after the service ended", state)
	}
}

func TestServiceOnlyOnce(t *testing.T) {
	t.Parallel()
	v := startService(t, shared).await(t)
	r := shared.MustFail(t, 125, "a service listens on "+v.socket+" already", "system", "service", "--time", "1", "unix://"+v.socket)
	_ = r
	v.stop(syscall.SIGKILL) // which leaves the socket
	if _, err := os.Stat(v.socket); err != nil {
		t.Fatal(err)
	}
	again := startService(t, shared, "--time", "0", "unix://"+v.socket)
	again.socket = v.socket
	if _, err := again.await(t).client(t).Ping(t.Context(), client.PingOptions{}); err != nil {
		t.Error(err)
	}
}

func TestServiceBadPlaces(t *testing.T) {
	t.Parallel()
	requireService(t, shared)
	for uri, text := range map[string]string{
		"nosuch":              "is not where a service can listen",
		"unix://relative":     "is not where a service can listen",
		"tcp://127.0.0.1":     "is not where a service can listen",
		"fd://":               "nobody handed a socket down",
		"tcp://127.0.0.1:0":   "whoever reaches the port could do whatever you may",
		"unix:///nosuch/dir/": "nosuch",
	} {
		shared.MustFail(t, 125, text, "system", "service", uri)
	}
	shared.MustFail(t, 125, "--cors is not supported by wherry", "system", "service", "--cors", "*")
	shared.MustFail(t, 125, "--tls-cert and --tls-key go together", "system", "service", "--tls-cert", "x", "tcp://127.0.0.1:0")
}

// TestServiceOnASocketOfSystemd: it takes the socket that it is handed, and the containers that it starts get none of that.
func TestServiceOnASocketOfSystemd(t *testing.T) {
	t.Parallel()
	requireService(t, shared)
	path := shared.Run + ".activated"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := shared.Command(context.Background(), "system", "service", "--time", "0")
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.ExtraFiles = "/bin/sh", []*os.File{file}
	v := &service{cmd: cmd, socket: path, said: &bytes.Buffer{}}
	cmd.Stderr = v.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer v.stop(syscall.SIGTERM)
	c := v.client(t)
	id := started(t, c, client.ContainerCreateOptions{Config: shell("env; ls /proc/self/fd; sleep 100")})
	var said string
	testkit.Eventually(t, "it has said something", func() bool { said = shared.Must(t, "logs", id); return strings.Contains(said, "3") })
	if strings.Contains(said, "LISTEN") || strings.Contains(said, "NOTIFY") {
		t.Errorf("the container has %q", said)
	}
}

// flag: system service --tls-cert --tls-key --tls-client-ca --insecure
func TestServiceOverTCP(t *testing.T) {
	t.Parallel()
	requireService(t, shared)
	dir := t.TempDir()
	ca := authority(t, dir)
	ca.sign(t, dir, "server", x509.ExtKeyUsageServerAuth)
	ca.sign(t, dir, "client", x509.ExtKeyUsageClientAuth)
	other := authority(t, t.TempDir())
	other.sign(t, dir, "stranger", x509.ExtKeyUsageClientAuth)
	at := func(name string) string { return filepath.Join(dir, name) }
	port := freeAddress(t)
	startService(t, shared, "--time", "0", "--tls-cert", at("server.pem"), "--tls-key", at("server.key"), "--tls-client-ca", at("ca.pem"), "tcp://127.0.0.1:"+port)
	get := func(cert string) (int, error) {
		pool := x509.NewCertPool()
		pool.AddCert(ca.cert)
		cfg := &tls.Config{RootCAs: pool}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(at(cert+".pem"), at(cert+".key"))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}).Get("https://127.0.0.1:" + port + "/_ping")
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	testkit.Eventually(t, "the client of the authority is served", func() bool { status, err := get("client"); return err == nil && status == 200 })
	for _, cert := range []string{"", "stranger"} {
		if status, err := get(cert); err == nil {
			t.Errorf("a client with the certificate %q is served: %d", cert, status)
		}
	}
	port = freeAddress(t)
	v := startService(t, shared, "--time", "0", "--insecure", "tcp://127.0.0.1:"+port)
	testkit.Eventually(t, "the open port is served", func() bool {
		resp, err := http.Get("http://127.0.0.1:" + port + "/_ping")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	v.stop(syscall.SIGTERM)
	if !strings.Contains(v.said.String(), "asks nobody who he is") {
		t.Errorf("no warning: %q", v.said)
	}
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// signer is an authority for certificates.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authority(t *testing.T, dir string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	return &signer{cert, key}
}

func (s *signer) sign(t *testing.T, dir, name string, usage x509.ExtKeyUsage) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, &key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600)
}

// TestServiceKilled: what runs goes on, and what was noted is found by the next service.
func TestServiceKilled(t *testing.T) {
	t.Parallel()
	v := startService(t, shared).await(t)
	c := v.client(t)
	cfg := shell("trap 'exit 3' TERM; echo ready; while :; do echo tick; sleep 0.05; done")
	cfg.AttachStdout = true
	id := made(t, c, client.ContainerCreateOptions{Config: cfg})
	attached, err := c.ContainerAttach(t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	if _, err := c.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	made, err := c.ExecCreate(t.Context(), id, client.ExecCreateOptions{Cmd: []string{"sh", "-c", "echo ran > /ran"}})
	if err != nil {
		t.Fatal(err)
	}
	attached.Reader.ReadByte()
	v.stop(syscall.SIGKILL)
	again := startService(t, shared, "--time", "0", "unix://"+v.socket)
	again.socket = v.socket
	c = again.await(t).client(t)
	before := strings.Count(shared.Must(t, "logs", id), "tick")
	testkit.Eventually(t, "the container goes on", func() bool { return strings.Count(shared.Must(t, "logs", id), "tick") > before+2 })
	if _, err := c.ExecStart(t.Context(), made.ID, client.ExecStartOptions{Detach: true}); err != nil {
		t.Errorf("the exec that was made before: %v", err)
	}
	testkit.Eventually(t, "the exec has run", func() bool { return shared.Try(t, "exec", id, "cat", "/ran").Out() == "ran" })
	if _, err := c.ContainerStop(t.Context(), id, client.ContainerStopOptions{}); err != nil {
		t.Error(err)
	}
	if got, err := c.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{}); err != nil || got.Container.State.ExitCode != 3 {
		t.Errorf("%+v %v", got.Container.State, err)
	}
}

// TestServiceInParallel: 200 requests at once, of all kinds, without an error.
func TestServiceInParallel(t *testing.T) {
	c := docker(t)
	name := shared.Name(t)
	running := started(t, c, client.ContainerCreateOptions{Name: name, Config: shell(trapping)})
	const each = 25
	var all sync.WaitGroup
	failed := make(chan error, 8*each)
	do := func(what string, fn func(i int) error) {
		for i := range each {
			all.Go(func() {
				if err := fn(i); err != nil {
					failed <- fmt.Errorf("%s: %w", what, err)
				}
			})
		}
	}
	ctx := t.Context()
	do("list", func(int) error { _, err := c.ContainerList(ctx, client.ContainerListOptions{All: true}); return err })
	do("inspect", func(int) error {
		_, err := c.ContainerInspect(ctx, running, client.ContainerInspectOptions{})
		return err
	})
	do("info", func(int) error { _, err := c.Info(ctx, client.InfoOptions{}); return err })
	do("logs", func(int) error {
		logs, err := c.ContainerLogs(ctx, running, client.ContainerLogsOptions{ShowStdout: true})
		if err == nil {
			io.Copy(io.Discard, logs)
			logs.Close()
		}
		return err
	})
	do("stats", func(int) error {
		stats, err := c.ContainerStats(ctx, running, client.ContainerStatsOptions{})
		if err == nil {
			io.Copy(io.Discard, stats.Body)
			stats.Body.Close()
		}
		return err
	})
	do("stat", func(int) error {
		_, err := c.ContainerStatPath(ctx, running, client.ContainerStatPathOptions{Path: "/bin"})
		return err
	})
	do("exec", func(i int) error {
		if out, _, code := execIn(t, c, running, "", client.ExecCreateOptions{Cmd: []string{"echo", fmt.Sprint(i)}}); out != fmt.Sprint(i)+"\n" || code != 0 {
			return fmt.Errorf("%q %d", out, code)
		}
		return nil
	})
	do("life", func(i int) error {
		made, err := c.ContainerCreate(ctx, client.ContainerCreateOptions{Name: fmt.Sprint(name, "-", i), Config: shell("exit 4"), HostConfig: &container.HostConfig{NetworkMode: "none"}})
		if err != nil {
			return err
		}
		waited := c.ContainerWait(ctx, made.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
		if _, err := c.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
			return err
		}
		select {
		case err = <-waited.Error:
		case end := <-waited.Result:
			if end.StatusCode != 4 {
				err = fmt.Errorf("exit code %d", end.StatusCode)
			}
		}
		if _, rmErr := c.ContainerRemove(ctx, made.ID, client.ContainerRemoveOptions{Force: true}); rmErr != nil {
			return rmErr
		}
		return err
	})
	all.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

// TestServiceSocketInAContainer: a mount of Docker's socket is the user's own where there is no Docker.
func TestServiceSocketInAContainer(t *testing.T) {
	t.Parallel()
	requireService(t, shared)
	if _, err := os.Lstat("/var/run/docker.sock"); err == nil {
		t.Skip("this machine has a /var/run/docker.sock")
	}
	const mount = "/var/run/docker.sock:/var/run/docker.sock"
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s.MustFail(t, 125, "no service of yours", "run", "--rm", "--network", "none", "-v", mount, testkit.Image, "true")
	v := startService(t, s, "--time", "0")
	v.socket = filepath.Join(s.Run, "wherry.sock")
	v.await(t)
	defer v.stop(syscall.SIGTERM)
	outside, err := os.Stat(v.socket)
	if err != nil {
		t.Fatal(err)
	}
	inode := s.Must(t, "run", "--rm", "--network", "none", "-v", mount, testkit.Image, "stat", "-c", "%i", "/var/run/docker.sock")
	if want := fmt.Sprint(outside.Sys().(*syscall.Stat_t).Ino); inode != want {
		t.Errorf("inode %s, the service's is %s", inode, want)
	}
}

// TestServiceAfterMigrate: a service that is left behind in the old user namespace ends at the next request.
func TestServiceAfterMigrate(t *testing.T) {
	t.Parallel()
	requireService(t, shared)
	if os.Geteuid() == 0 {
		t.Skip("root has no user namespace to leave")
	}
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	v := startService(t, s).await(t)
	if status, _ := v.raw(t, "GET", "/info", "", nil); status != 200 {
		t.Errorf("before: %d", status)
	}
	s.Must(t, "system", "migrate")
	if status, text := v.raw(t, "GET", "/info", "", nil); status != 503 || !strings.Contains(text, "wherry system migrate") {
		t.Errorf("after: %d %q", status, text)
	}
	if err := v.cmd.Wait(); err != nil {
		t.Errorf("it ends with %v: %s", err, v.said)
	}
}

func TestServiceWebsocket(t *testing.T) {
	t.Parallel()
	v := dockerService(t)
	c := v.client(t)
	id := started(t, c, client.ContainerCreateOptions{Config: &container.Config{Cmd: []string{"cat"}, OpenStdin: true}})
	conn, err := net.Dial("unix", v.socket)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := websocket.NewConfig("ws://docker/containers/"+id+"/attach/ws?stream=1&stdin=1&stdout=1", "http://docker")
	if err != nil {
		t.Fatal(err)
	}
	ws, err := websocket.NewClient(cfg, conn)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	io.WriteString(ws, "over the socket\n")
	buf := make([]byte, 100)
	ws.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := ws.Read(buf); err != nil || string(buf[:n]) != "over the socket\n" {
		t.Errorf("%q %v", buf[:n], err)
	}
}

// TestServiceHostileClients: clients that send rubbish, or nothing, do no harm to others.
func TestServiceHostileClients(t *testing.T) {
	t.Parallel()
	v := dockerService(t)
	for range 50 { // connections on which nothing more comes
		conn, err := net.Dial("unix", v.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n{")
	}
	for name, request := range map[string]string{
		"no HTTP":      "\x00\x01\x02\r\n\r\n",
		"long header":  "GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n",
		"bad length":   "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"two lengths":  "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"no host":      "GET /_ping HTTP/1.1\r\n\r\n",
		"bad chunk":    "POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
		"bad escaping": "GET /containers/%zz/json HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("unix", v.socket)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			t.Errorf("%s: %.100q", name, answer)
		}
		conn.Close()
	}
	for path, want := range map[string]int{"/containers/..%2f..%2f..%2fetc/json": 404, "/containers/../json": 400, "/containers/%00/json": 400, "/containers/" + strings.Repeat("a", 5000) + "/json": 404,
		"/v1.51/containers/json?filters=%7B": 400, "/containers/json?limit=x": 400, "/v9.99/info": 400} {
		if status, text := v.raw(t, "GET", path, "", nil); status != want || text == "" {
			t.Errorf("%.60s: %d %q", path, status, text)
		}
	}
	if status, text := v.raw(t, "POST", "/containers/create", "application/json", strings.NewReader(`{"Image":"`+strings.Repeat("x", 9<<20)+`"}`)); status != 413 {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := v.raw(t, "GET", "/_ping", "", nil); status != 200 {
		t.Errorf("others are not served any more: %d", status)
	}
}

// TestServiceDockerCommand: the docker command line works over the service.
func TestServiceDockerCommand(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("there is no docker command line on this machine")
	}
	v := dockerService(t)
	name := shared.Name(t)
	run := func(stdin string, args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+v.socket, "DOCKER_CONFIG="+t.TempDir())
		cmd.Stdin = strings.NewReader(stdin)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("", "version", "--format", "{{.Server.Version}}"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	for _, step := range []struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		{"", []string{"run", "--rm", "--network", "none", testkit.Image, "sh", "-c", "echo hello; exit 3"}, 3, "hello\n"},
		{"typed", []string{"run", "--rm", "-i", "--network", "none", testkit.Image, "cat"}, 0, "typed"},
		{"", []string{"run", "--rm", "--network", "none", testkit.Image, "nosuch"}, 127, "nosuch"},
		{"", []string{"run", "-d", "--name", name, "--network", "none", testkit.Image, "sh", "-c", trapping}, 0, ""},
		{"", []string{"ps", "--filter", "name=" + name, "--format", "{{.Names}} {{.State}}"}, 0, name + " running\n"},
		{"", []string{"exec", name, "sh", "-c", "echo in; exit 4"}, 4, "in\n"},
		{"fed", []string{"exec", "-i", name, "cat"}, 0, "fed"},
		{"", []string{"logs", name}, 0, "ready\n"},
		{"", []string{"top", name, "-o", "pid,args"}, 0, "sleep 1000"},
		{"", []string{"inspect", "-f", "{{.State.Status}}", name}, 0, "running\n"},
		{"", []string{"update", "--restart", "on-failure:2", name}, 0, name},
		{"", []string{"stats", "--no-stream", "--format", "{{.Name}}", name}, 0, name},
		{"", []string{"cp", "/etc/hostname", name + ":/copied"}, 0, ""},
		{"", []string{"exec", name, "test", "-s", "/copied"}, 0, ""},
		{"", []string{"diff", name}, 0, "A /copied\n"},
		{"", []string{"stop", name}, 0, name},
		{"", []string{"wait", name}, 0, "7\n"},
		{"", []string{"rm", name}, 0, name},
	} {
		if out, code := run(step.stdin, step.args...); code != step.code || !strings.Contains(out, step.want) {
			t.Errorf("docker %s: exit %d, want %d: %q", strings.Join(step.args, " "), code, step.code, out)
		}
	}
}
