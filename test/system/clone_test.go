package system

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// flag: container clone --name --run --destroy --force
func TestContainerClone(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	id := s.Must(t, "run", "-d", "--name", "web", "-e", "A=1", "-l", "x=y", "-v", "data:/data", "-v", "/anon", "--restart", "always", "--stop-signal", "KILL",
		testkit.Image, "sh", "-c", "echo written >/file; hostname; sleep 1000")
	inspect := func(name, format string) string { return s.Must(t, "inspect", "-f", format, name) }
	anonymous := func(name string) string {
		return inspect(name, `{{range .Mounts}}{{if eq .Destination "/anon"}}{{.Name}}{{end}}{{end}}`)
	}
	copied := s.Must(t, "container", "clone", "web")
	want(t, "its name", inspect(copied, "{{.Name}}"), "/web-clone")
	want(t, "the wish", inspect("web-clone", `{{.State.Status}} {{.HostConfig.RestartPolicy.Name}} {{index .Config.Labels "x"}} {{.Config.StopSignal}}`), "created always y KILL")
	want(t, "its host name", inspect("web-clone", "{{.Config.Hostname}}"), copied[:12])
	if a, b := anonymous("web"), anonymous("web-clone"); a == b || b == "" {
		t.Errorf("the anonymous volume is shared: %q and %q", a, b)
	}
	s.Must(t, "container", "clone", "web")
	want(t, "the next name", inspect("web-clone1", "{{.Name}}"), "/web-clone1")
	s.Must(t, "container", "clone", "--run", "--name", "runs", "web")
	testkit.Eventually(t, "it runs, and has written for itself", func() bool { return s.Try(t, "exec", "runs", "cat", "/file").Stdout == "written\n" })

	s.MustFail(t, 125, "web", "container", "clone", "--destroy", "web", "other")
	s.MustFail(t, 125, "--force needs --destroy", "container", "clone", "--force", "web", "other")
	s.MustFail(t, 125, `container name "runs" is in use`, "container", "clone", "web", "runs")
	s.MustFail(t, 125, "given twice", "container", "clone", "--name", "x", "web", "y")
	s.Must(t, "container", "clone", "--destroy", "-f", "web", "web2")
	if r := s.Try(t, "container", "exists", id); r.Code != 1 {
		t.Errorf("the original is still there: exit %d", r.Code)
	}
	s.Must(t, "import", "--change", "CMD true", filepath.Join(filepath.Dir(s.Data), "busybox.tar"), "other")
	s.Must(t, "container", "clone", "web2", "of-other", "other")
	want(t, "another image", inspect("of-other", "{{.Config.Image}}"), "other")
}

// A limit is in the copy's wish, or the machine cannot bound that, and the error says so with the flag's name.
//
// flag: container clone --blkio-weight --blkio-weight-device --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime
// flag: container clone --cpu-shares --cpus --cpuset-cpus --cpuset-mems --device-read-bps --device-write-bps
// flag: container clone --memory --memory-reservation --memory-swap --memory-swappiness
func TestCloneWithLimits(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "create", "--name", "from", testkit.Image, "true")
	for field, flags := range map[string]string{"BlkioWeight=100": "--blkio-weight=100", "x1": "--blkio-weight-device=/dev/nosuch:100", "CpuPeriod=50000": "--cpu-period=50000",
		"CpuQuota=20000": "--cpu-quota=20000", "x2": "--cpu-rt-period=1000000", "x3": "--cpu-rt-runtime=1000", "CpuShares=512": "--cpu-shares=512", "NanoCpus=500000000": "--cpus=0.5",
		"CpusetCpus=0": "--cpuset-cpus=0", "CpusetMems=0": "--cpuset-mems=0", "x4": "--device-read-bps=/dev/nosuch:1mb", "x5": "--device-write-bps=/dev/nosuch:1mb",
		"Memory=67108864": "--memory=64m", "MemoryReservation=33554432": "--memory-reservation=32m", "MemorySwap=-1": "--memory-swap=-1", "x6": "--memory-swappiness=10"} {
		name, _, _ := strings.Cut(flags, "=")
		of, value, _ := strings.Cut(field, "=")
		r := s.Try(t, "container", "clone", flags, "from", "to"+of)
		switch {
		case r.Code == 0 && value != "":
			want(t, name, s.Must(t, "inspect", "-f", "{{.HostConfig."+of+"}}", "to"+of), value)
		case r.Code == 0 && strings.HasPrefix(of, "x"):
			if r := s.Try(t, "start", "to"+of); r.Code == 0 { // what is not in the wish cannot fail
				t.Errorf("%s is not in the copy's wish", name)
			}
		case !strings.Contains(r.Stderr, name):
			t.Errorf("%s: exit %d %s", name, r.Code, r.Stderr)
		}
	}
}

// flag: container cleanup --all --latest --rm --rmi
func TestContainerCleanup(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "-d", "--name", "up", testkit.Image, "sleep", "1000")
	s.MustFail(t, 1, `container "up" runs`, "container", "cleanup", "up")
	s.Must(t, "run", "-d", "--name", "killed", testkit.Image, "sleep", "1000")
	id := s.Must(t, "inspect", "-f", "{{.Id}}", "killed")
	pid := hostPid(t, s, "killed")
	killMonitor(t, s, "killed")
	killContainer(t, s, pid)
	s.Must(t, "container", "cleanup", "--latest")
	if left(s.Run+"/c/"+id) || left(s.Run+"/runtime/"+id) {
		t.Error("its run-time state is still there")
	}
	want(t, "its state", s.Must(t, "inspect", "-f", "{{.State.Status}}", "killed"), "exited")
	s.Must(t, "container", "cleanup", "--all", "--rm")
	want(t, "left", s.Must(t, "ps", "-a", "--format", "{{.Names}}"), "up")
	s.Must(t, "tag", testkit.Image, "other")
	s.Must(t, "create", "--name", "last", "other", "true")
	s.Must(t, "container", "cleanup", "--rmi", "last")
	want(t, "images", s.Must(t, "images", "--format", "{{.Repository}}"), testkit.Image)
}

// flag: container runlabel --display --name --replace --quiet
func TestContainerRunlabel(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	tar := filepath.Join(filepath.Dir(s.Data), "busybox.tar")
	s.Must(t, "import", "--change", `LABEL run="podman run --name NAME -e 'SAID=two words' IMAGE sh -c 'echo $SAID'"`, "--change", `LABEL evil="rm -rf /"`, tar, "labelled:v1")
	r := s.Try(t, "container", "runlabel", "--display", "run", "labelled:v1")
	if r.Code != 0 || !strings.Contains(r.Stderr, " run --name labelled -e SAID=") || s.Must(t, "ps", "-aq") != "" {
		t.Errorf("display: exit %d %s", r.Code, r.Stderr)
	}
	r = s.Try(t, "container", "runlabel", "--quiet", "-n", "mine", "run", "labelled:v1")
	if r.Code != 0 || r.Stdout != "two words\n" || r.Stderr != "" {
		t.Errorf("exit %d %q %q", r.Code, r.Stdout, r.Stderr)
	}
	s.MustFail(t, 125, "", "container", "runlabel", "-q", "-n", "mine", "run", "labelled:v1")
	s.Must(t, "container", "runlabel", "-q", "-n", "mine", "--replace", "run", "labelled:v1")
	s.MustFail(t, 1, `has no label "nope"`, "container", "runlabel", "nope", "labelled:v1")
	s.MustFail(t, 125, `only podman, docker and wherry are run from a label`, "container", "runlabel", "evil", "labelled:v1")
}

// flag: run, container runlabel --authfile --cert-dir --creds --tls-verify
// flag: run --retry --retry-delay --quiet
func TestPullFlagsArePassedOn(t *testing.T) {
	t.Parallel()
	var lock sync.Mutex
	var users []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		lock.Lock()
		users = append(users, user)
		lock.Unlock()
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	came := func() string {
		lock.Lock()
		defer lock.Unlock()
		all := strings.Join(slices.Compact(users), ",")
		users = nil
		return all
	}
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	base := dir(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	os.WriteFile(filepath.Join(base, "ca.crt"), ca, 0o644)
	host := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	auth := file(t, "auth.json", fmt.Sprintf(`{"auths":{%q:{"auth":"ZnJvbWZpbGU6cGFzcw=="}}}`, host(plain)))
	for _, verb := range [][]string{{"run", "--retry", "0"}, {"container", "runlabel"}} {
		pull := func(server *httptest.Server, flags ...string) string {
			args := append(slices.Clone(verb), flags...)
			if verb[0] == "container" {
				args = append(args, "label")
			}
			if r := shared.Try(t, append(args, host(server)+"/none")...); r.Code != 125 {
				t.Errorf("%v: exit %d %s", args, r.Code, r.Stderr)
			}
			return came()
		}
		want(t, "creds", pull(plain, "--tls-verify=false", "--creds", "typed:pass"), ",typed")
		want(t, "authfile", pull(plain, "--tls-verify=false", "--authfile", auth), ",fromfile")
		want(t, "an unknown certificate", pull(secure), "")
		want(t, "tls-verify", pull(secure, "--tls-verify=false"), "")
		want(t, "cert-dir", pull(secure, "--cert-dir", base, "--creds", "typed:pass"), ",typed")
	}
	start := time.Now()
	r := shared.Try(t, "run", "--retry", "2", "--retry-delay", "10ms", "localhost:1/none")
	if strings.Count(r.Stderr, "Retrying in") != 2 || time.Since(start) > 5*time.Second {
		t.Errorf("retry: %s after %s", r.Stderr, time.Since(start))
	}
	if r := shared.Try(t, "run", "--quiet", "--retry", "0", "localhost:1/none"); strings.Contains(r.Stderr, "Trying to pull") {
		t.Errorf("quiet: %s", r.Stderr)
	}
	shared.MustFail(t, 125, "retry", "run", "--retry", "x", "localhost:1/none")
}

// flag: run --rmi --rm
func TestRunRmi(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	images := func() string {
		return joined(s.Must(t, "images", "--sort", "repository", "--format", "{{.Repository}}"))
	}
	s.Must(t, "tag", testkit.Image, "once")
	s.Must(t, "run", "--rmi", "once", "true")
	want(t, "after a run", images(), testkit.Image)
	want(t, "containers", s.Must(t, "ps", "-aq"), "")
	s.Must(t, "tag", testkit.Image, "once")
	s.Must(t, "run", "-d", "--rmi", "once", "true")
	testkit.Eventually(t, "the image of a detached run is gone", func() bool { return images() == testkit.Image })
	s.Must(t, "import", "--change", "CMD true", filepath.Join(filepath.Dir(s.Data), "busybox.tar"), "used")
	s.Must(t, "create", "--name", "user", "used")
	s.Must(t, "run", "--rmi", "used", "true")
	want(t, "an image that others stand on", images(), testkit.Image+" used")
}

// flag: rm --depend
func TestRmDepend(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "run", "-d", "--name", "base", testkit.Image, "sleep", "1000")
	s.Must(t, "run", "-d", "--name", "user", "--pid", "container:base", testkit.Image, "sleep", "1000")
	s.Must(t, "run", "-d", "--name", "apart", testkit.Image, "sleep", "1000")
	s.Must(t, "rm", "-f", "-t", "0", "--depend", "base")
	want(t, "left", s.Must(t, "ps", "-a", "--format", "{{.Names}}"), "apart")
	s.MustFail(t, 125, "--link is not supported by wherry", "rm", "--link", "apart")
}

// flag: run --env-host --env-merge --http-proxy --unsetenv --unsetenv-all --env --env-file
func TestEnvironmentFlags(t *testing.T) {
	t.Parallel()
	s := shared.With("CALLER_A=1", "CALLER_B=2", "http_proxy=http://proxy", "NO_PROXY=local")
	run := func(script string, flags ...string) string { return s.Must(t, runArgs(script, flags...)...) }
	env := file(t, "env", "# comment\n  FILE=from file  \nCALLER_A\nQUOTED=\"x\"\nCALLER_*\n")
	want(t, "env-file", run(`echo "$FILE|$CALLER_A|$QUOTED|$CALLER_B"`, "--env-file", env), `from file  |1|"x"|2`)
	want(t, "a flag wins over a file", run(`echo $FILE`, "-e", "FILE=flag", "--env-file", env), "flag")
	want(t, "globs", run(`env | grep ^CALLER | sort | tr '\n' ' '`, "--env", "CALLER_*"), "CALLER_A=1 CALLER_B=2 ")
	want(t, "env-host", run(`echo $CALLER_A $CALLER_B`, "--env-host"), "1 2")
	want(t, "http-proxy", run(`echo $http_proxy $NO_PROXY $CALLER_A`, "--http-proxy"), "http://proxy local")
	want(t, "env-merge", run(`echo $PATH`, "--env-merge", "PATH=${PATH}:/more", "--entrypoint", ""), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/more")
	want(t, "unsetenv", run(`env | grep ^TERM || echo none $KEPT`, "-t", "-e", "KEPT=1", "--unsetenv", "KEPT", "--unsetenv", "TERM"), "none 1\r")
	out := shared.Must(t, "run", "--rm", "--network", "none", "-e", "MINE=1", "--unsetenv-all", testkit.Image, "/bin/sh", "-c", `export PATH=/bin:/usr/bin; env | grep -v -e ^PATH -e ^PWD -e ^SHLVL -e ^HOME`)
	want(t, "unsetenv-all", out, "MINE=1")
	s.MustFail(t, 125, "it looks like NAME=TEXT", "run", "--env-merge", "PATH", testkit.Image)
}

// flag: run --platform --os --arch --variant --disable-content-trust
func TestPlatformFlags(t *testing.T) {
	t.Parallel()
	for flags, text := range map[string]string{
		"--arch=s390x":                    "not for linux/s390x",
		"--platform=linux/s390x":          "not for linux/s390x",
		"--os=windows":                    "only linux images",
		"--arch=arm --variant=v7":         "not for linux/arm/v7",
		"--arch=arm --platform=linux/arm": "--platform does not go with",
		"--disable-content-trust=false":   "invalid --disable-content-trust",
	} {
		args := append([]string{"create", "--pull", "never"}, strings.Fields(flags)...)
		shared.MustFail(t, 125, text, append(args, testkit.Image, "true")...)
	}
	want(t, "harmless", inside(t, "echo ok", "--disable-content-trust", "--os", "linux"), "ok")
	s := ownStore(t)
	s.Must(t, "import", "--arch", "sparc64", "--change", "CMD true", filepath.Join(filepath.Dir(s.Data), "busybox.tar"), "foreign")
	s.MustFail(t, 125, "there is no emulator of that processor", "run", "--rm", "foreign")
}

// flag: run --cidfile --label --label-file --replace --name --annotation
func TestNamesAndLabels(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	base := dir(t)
	cid := filepath.Join(base, "cid")
	labels := file(t, "labels", "# comment\nfrom=file\nboth=file\nempty\n")
	shared.Must(t, "run", "-d", "--name", name, "--cidfile", cid, "--label-file", labels, "-l", "both=flag", "--label", "own=a=b", "--annotation", "note=1", testkit.Image, "sleep", "1000")
	id, _ := os.ReadFile(cid)
	want(t, "cidfile", string(id), inspected(t, name, "{{.Id}}"))
	want(t, "labels", inspected(t, name, `{{.Config.Labels.from}} {{.Config.Labels.both}} {{.Config.Labels.own}} "{{.Config.Labels.empty}}" {{.Config.Annotations.note}}`), `file flag a=b "" 1`)
	shared.MustFail(t, 125, "exists", "create", "--cidfile", cid, testkit.Image, "true")
	shared.MustFail(t, 125, "in use", "create", "--name", name, testkit.Image, "true")
	pid := hostPid(t, shared, name)
	again := shared.Must(t, "create", "--replace", "--name", name, testkit.Image, "true")
	want(t, "replaced", inspected(t, name, "{{.Id}}"), again)
	if alive(pid) {
		t.Error("the replaced one still runs")
	}
	for _, bad := range []string{"a/b", "-x", "a b", ".x"} {
		shared.MustFail(t, 125, "invalid --name "+strconv.Quote(bad), "create", "--name="+bad, testkit.Image, "true")
	}
}
