package roster

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/procs"
)

func process(t *testing.T, pid int) state.Process {
	t.Helper()
	start, err := procs.StartTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	boot, err := procs.BootID()
	if err != nil {
		t.Fatal(err)
	}
	return state.Process{Pid: pid, Start: start, BootID: boot}
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func id(digit string) string { return strings.Repeat(digit, 64) }

func attachment(digit, name string, monitor state.Process, addr string) *state.Attachment {
	return &state.Attachment{ID: id(digit), Name: name, Monitor: monitor,
		Networks: []state.Endpoint{{Network: "n", IPs: []netip.Prefix{netip.MustParsePrefix(addr)}, Aliases: []string{"Alias", name}}}}
}

func scene(t *testing.T) (*Roster, state.Dir) {
	t.Helper()
	dir := state.Dir(filepath.Join(t.TempDir(), "net"))
	r, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	must(t, dir.WriteNetwork(&state.Network{Name: "n", Subnets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}))
	return r, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestViewIsWhatTheFilesSay(t *testing.T) {
	r, dir := scene(t)
	me := process(t, os.Getpid())
	must(t, dir.WriteAttachment(attachment("a", "web", me, "10.1.0.2/24")))
	must(t, dir.WriteAttachment(attachment("b", "DB", me, "10.1.0.3/24")))
	other := attachment("c", "elsewhere", me, "10.2.0.3/24")
	other.Networks[0].Network = "macvlan"
	must(t, dir.WriteAttachment(other))
	dead := me
	dead.Start++
	must(t, dir.WriteAttachment(attachment("d", "dead", dead, "10.1.0.4/24")))
	// what must not hinder: rubbish, a half-written file, another's name, a directory
	for name, content := range map[string]string{"x.json": "{", ".y.json.tmp": "{}", id("e") + ".json": `{"ID":"` + id("f") + `"}`, "notes": ""} {
		must(t, os.WriteFile(filepath.Join(dir.Attachments(), name), []byte(content), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir.Attachments(), "z.json"), 0o700))
	v := r.View()
	if len(v.Containers()) != 3 || v.Container(id("d")) != nil {
		t.Errorf("containers %v", v.Containers())
	}
	n := v.Network("n")
	for name, want := range map[string]int{"web": 1, "db": 1, "DB": 0, "alias": 2, "bbbbbbbbbbbb": 1, "dead": 0, "elsewhere": 0, "": 0} {
		if got := len(n.Named(name)); got != want {
			t.Errorf("%q has %d members, want %d", name, got, want)
		}
	}
	if m, ok := n.At(netip.MustParseAddr("10.1.0.3")); !ok || m.Name != "DB" {
		t.Errorf("%v %v", m, ok)
	}
	if !v.Covers(netip.MustParseAddr("10.1.0.99")) || v.Covers(netip.MustParseAddr("10.2.0.3")) {
		t.Error("covers")
	}
}

func TestViewChangesWithTheFiles(t *testing.T) {
	r, dir := scene(t)
	me := process(t, os.Getpid())
	for i := range 200 { // faster than file times count on some kernels
		must(t, dir.WriteAttachment(attachment("a", "web", me, "10.1.0.2/24")))
		if r.View().Container(id("a")) == nil {
			t.Fatalf("%d: written, not seen", i)
		}
		must(t, dir.RemoveAttachment(id("a")))
		if r.View().Container(id("a")) != nil {
			t.Fatalf("%d: removed, still seen", i)
		}
	}
	must(t, os.RemoveAll(dir.Networks()))
	if len(r.View().Networks()) != 0 {
		t.Error("the networks' directory is gone, its networks are not")
	}
	must(t, dir.WriteNetwork(&state.Network{Name: "again"}))
	if r.View().Network("again") == nil {
		t.Error("a new directory is not looked into")
	}
}

func TestNothingIsReadWhenNothingChanges(t *testing.T) {
	r, dir := scene(t)
	must(t, dir.WriteAttachment(attachment("a", "web", process(t, os.Getpid()), "10.1.0.2/24")))
	r.View()
	time.Sleep(2 * settled)
	v := r.View()
	if r.View() != v {
		t.Error("read again")
	}
}

func TestEndsAreNoticed(t *testing.T) {
	r, dir := scene(t)
	gone := make(chan string, 10)
	r.OnGone(func(id string) { gone <- id })
	monitor, first, other := sleeper(t), sleeper(t), sleeper(t)
	a := attachment("a", "web", process(t, monitor.Process.Pid), "10.1.0.2/24")
	a.RunDir = t.TempDir()
	live := process(t, first.Process.Pid)
	must(t, state.Write(filepath.Join(a.RunDir, "live.json"), struct {
		Pid      int
		PidStart uint64
		BootID   string
	}{live.Pid, live.Start, live.BootID}))
	must(t, dir.WriteAttachment(a))
	must(t, dir.WriteAttachment(attachment("b", "other", process(t, other.Process.Pid), "10.1.0.3/24")))
	go r.Watch(t.Context())
	r.View()
	monitor.Process.Kill() // a killed monitor is not the end of the container
	other.Process.Kill()
	if got := <-gone; got != id("b") {
		t.Errorf("%s is gone", got)
	}
	if r.View().Container(id("a")) == nil {
		t.Error("gone with its monitor, although it runs")
	}
	monitor.Wait()
	first.Process.Kill()
	select {
	case got := <-gone:
		if got != id("a") {
			t.Errorf("%s is gone", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody notices its end")
	}
}
