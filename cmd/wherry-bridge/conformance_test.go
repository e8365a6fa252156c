package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/wherry-containers/wherry/network/nettest"
)

// TestMain gives the tests a network namespace to have bridges in.
func TestMain(m *testing.M) { os.Exit(nettest.Run(m, os.Args, os.Stdout)) }

// plugin builds the program, once, and returns its directory.
var plugin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "wherry-bridge")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "wherry-bridge"), ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

// cniRuntime is a CNI runtime as others have it: libcni, which executes the plugin.
type cniRuntime struct {
	t    *testing.T
	lib  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	dir  string // of the plugin's leases and notes
}

func newRuntime(t *testing.T, cniVersion string) *cniRuntime {
	t.Helper()
	dir := t.TempDir()
	bin, err := plugin()
	if err != nil {
		t.Fatal(err)
	}
	r := &cniRuntime{t: t, dir: filepath.Join(dir, "state"), lib: libcni.NewCNIConfigWithCacheDir([]string{bin}, filepath.Join(dir, "cache"), &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}})}
	conf := fmt.Sprintf(`{"cniVersion":%q,"name":"net","plugins":[{"type":"wherry-bridge","bridge":"wconf0","stateDir":%q,
		"subnets":[{"subnet":"10.206.0.0/29","gateway":"10.206.0.1"}],"capabilities":{"ips":true,"mac":true}}]}`, cniVersion, r.dir)
	if r.list, err = libcni.ConfListFromBytes([]byte(conf)); err != nil {
		t.Fatal(err)
	}
	return r
}

// attachment is one container's, in a new namespace.
func (r *cniRuntime) attachment(id string) (*libcni.RuntimeConf, netns.NsHandle) {
	r.t.Helper()
	runtime.LockOSThread() // a namespace is a thread's
	defer runtime.UnlockOSThread()
	origin, err := netns.Get()
	if err != nil {
		r.t.Fatal(err)
	}
	defer origin.Close()
	ns, err := netns.New()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := netns.Set(origin); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { ns.Close() })
	return &libcni.RuntimeConf{ContainerID: id, NetNS: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(ns)), IfName: "eth0"}, ns
}

// addresses are those of an interface in a namespace; nil: there is no such interface.
func addresses(t *testing.T, ns netns.NsHandle, name string) []string {
	t.Helper()
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(name)
	if err != nil {
		return nil
	}
	addrs, err := handle.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, a := range addrs {
		list = append(list, a.IPNet.String())
	}
	return list
}

// The life of an attachment in each version of the specification that the plugin says it speaks.
func TestLifeInEachVersion(t *testing.T) {
	r := newRuntime(t, "1.1.0")
	info, err := r.lib.GetVersionInfo(t.Context(), "wherry-bridge")
	if err != nil {
		t.Fatal(err)
	}
	versions := info.SupportedVersions()
	if !slices.Contains(versions, "1.1.0") || !slices.Contains(versions, "0.4.0") {
		t.Fatalf("VERSION says %v", versions)
	}
	for _, v := range versions {
		t.Run(v, func(t *testing.T) { checkLife(t, newRuntime(t, v), v) })
	}
}

func checkLife(t *testing.T, r *cniRuntime, v string) {
	ctx := t.Context()
	rc, ns := r.attachment("one")
	res, err := r.lib.AddNetworkList(ctx, r.list, rc)
	if err != nil {
		t.Fatalf("ADD: %v", err)
	}
	if res.Version() != v {
		t.Errorf("ADD answers in version %s", res.Version())
	}
	got, err := types100.NewResultFromResult(res)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"10.206.0.2/29"}
	if have := addresses(t, ns, "eth0"); !slices.Equal(have, want) || len(got.IPs) != 1 || got.IPs[0].Address.String() != want[0] {
		t.Errorf("interface has %v, the result %v, want %v", have, got.IPs, want)
	}
	if checks, _ := cniversion.GreaterThanOrEqualTo(v, "0.4.0"); checks {
		if err := r.lib.CheckNetworkList(ctx, r.list, rc); err != nil {
			t.Errorf("CHECK: %v", err)
		}
		removeLink(t, ns, "eth0")
		if err := r.lib.CheckNetworkList(ctx, r.list, rc); err == nil {
			t.Error("CHECK does not miss the interface")
		}
	}
	for range 2 { // "plugins should accept multiple DEL calls"
		if err := r.lib.DelNetworkList(ctx, r.list, rc); err != nil {
			t.Errorf("DEL: %v", err)
		}
	}
	if have := addresses(t, ns, "eth0"); have != nil {
		t.Errorf("after DEL the interface is there: %v", have)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*", "10.*")); len(left) > 0 {
		t.Errorf("DEL leaves %v", left)
	}
	rc.NetNS = "/nonexistent" // "if the container network namespace is missing, DEL succeeds"
	if err := r.lib.DelNetworkList(ctx, r.list, rc); err != nil {
		t.Errorf("DEL without the namespace: %v", err)
	}
}

func removeLink(t *testing.T, ns netns.NsHandle, name string) {
	t.Helper()
	handle, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(name)
	if err == nil {
		err = handle.LinkDel(link)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// STATUS says that it is ready, GC takes what no valid attachment has, capability arguments arrive.
func TestStatusAndGC(t *testing.T) {
	ctx, r := t.Context(), newRuntime(t, "1.1.0")
	if err := r.lib.GetStatusNetworkList(ctx, r.list); err != nil {
		t.Errorf("STATUS: %v", err)
	}
	keep, keepNS := r.attachment("keep")
	keep.CapabilityArgs = map[string]any{"ips": []string{"10.206.0.5/29"}, "mac": "02:00:00:00:00:05"}
	stale, _ := r.attachment("stale")
	if _, err := r.lib.AddNetworkList(ctx, r.list, keep); err != nil {
		t.Fatal(err)
	}
	// The runtime that GC is called by knows nothing of it: else libcni would DEL it first.
	other := libcni.NewCNIConfigWithCacheDir(r.lib.Path, t.TempDir(), nil)
	if _, err := other.AddNetworkList(ctx, r.list, stale); err != nil {
		t.Fatal(err)
	}
	if have := addresses(t, keepNS, "eth0"); !slices.Equal(have, []string{"10.206.0.5/29"}) {
		t.Errorf("asked for 10.206.0.5, has %v", have)
	}
	valid := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{{ContainerID: "keep", IfName: "eth0"}}}
	if err := r.lib.GCNetworkList(ctx, r.list, valid); err != nil {
		t.Errorf("GC: %v", err)
	}
	if err := r.lib.CheckNetworkList(ctx, r.list, keep); err != nil {
		t.Errorf("GC took a valid attachment: %v", err)
	}
	next, nextNS := r.attachment("next")
	next.CapabilityArgs = map[string]any{"ips": []string{"10.206.0.2/29"}}
	if _, err := r.lib.AddNetworkList(ctx, r.list, next); err != nil {
		t.Errorf("the stale attachment's address is not free after GC: %v", err)
	}
	if have := addresses(t, nextNS, "eth0"); !slices.Equal(have, []string{"10.206.0.2/29"}) {
		t.Errorf("has %v", have)
	}
}

// What is wrong is answered as the specification says: an error object with a code, nothing left behind.
func TestErrors(t *testing.T) {
	r := newRuntime(t, "1.1.0")
	program := filepath.Join(r.lib.Path[0], "wherry-bridge")
	call := func(conf string, env ...string) (code uint, text string) {
		t.Helper()
		cmd := exec.CommandContext(context.Background(), program)
		cmd.Stdin, cmd.Env = strings.NewReader(conf), append([]string{"CNI_PATH=" + r.lib.Path[0]}, env...)
		out, err := cmd.Output()
		if err == nil {
			t.Fatalf("no error for %s", conf)
		}
		var answer types.Error
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatalf("the answer is not an error object: %s", out)
		}
		return answer.Code, answer.Msg + " " + answer.Details
	}
	add := []string{"CNI_COMMAND=ADD", "CNI_CONTAINERID=x", "CNI_NETNS=/proc/self/ns/net", "CNI_IFNAME=eth0"}
	for name, c := range map[string]struct {
		conf string
		env  []string
		code uint
	}{
		"version we do not speak": {`{"cniVersion":"9.9.9","name":"net","type":"wherry-bridge"}`, add, types.ErrIncompatibleCNIVersion},
		"variable missing":        {`{"cniVersion":"1.1.0","name":"net","type":"wherry-bridge"}`, add[:3], types.ErrInvalidEnvironmentVariables},
		"not JSON":                {`{`, add, types.ErrDecodingFailure},
		"no such command":         {`{"cniVersion":"1.1.0","name":"net","type":"wherry-bridge"}`, append([]string{"CNI_COMMAND=FLY"}, add[1:]...), types.ErrInvalidEnvironmentVariables},
	} {
		if code, text := call(c.conf, c.env...); code != c.code || text == "" {
			t.Errorf("%s: code %d (%s), want %d", name, code, text, c.code)
		}
	}
	if _, err := os.Stat(r.dir); err == nil {
		t.Error("something was written for calls that failed")
	}
}
