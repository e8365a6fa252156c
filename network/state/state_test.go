package state

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/wherry-containers/wherry/pkg/procs"
)

func self(t *testing.T) Process {
	start, err := procs.StartTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return Process{Pid: os.Getpid(), Start: start, BootID: bootID()}
}

func TestAttachmentIsWrittenReadAndRemoved(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "net"))
	a := &Attachment{ID: "0123", Name: "web", Monitor: self(t), Networks: []Endpoint{{Network: "bridge", Interface: "eth0",
		IPs: []netip.Prefix{netip.MustParsePrefix("10.88.0.2/16")}, MAC: "02:00:00:00:00:01"}}, Ports: []Port{{HostPort: 80, ContainerPort: 80, Protocol: "tcp"}}}
	if err := d.WriteAttachment(a); err != nil {
		t.Fatal(err)
	}
	got, err := d.Attachment("0123")
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v", got, err)
	}
	os.WriteFile(filepath.Join(d.Attachments(), ".x.json.tmp"), []byte("{"), 0o600)
	os.WriteFile(filepath.Join(d.Attachments(), "broken.json"), []byte("{"), 0o600)
	if all := d.ListAttachments(); len(all) != 1 {
		t.Errorf("listed %d", len(all))
	}
	for range 2 {
		if err := d.RemoveAttachment("0123"); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Attachment("0123"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestAttachmentLivesWithMonitorOrContainer(t *testing.T) {
	live := self(t)
	dead := live
	dead.Start++
	run := t.TempDir()
	a := &Attachment{Monitor: dead, RunDir: run}
	if a.Alive() {
		t.Error("alive without a proof")
	}
	a.Monitor = live
	if !a.Alive() {
		t.Error("its monitor lives")
	}
	a.Monitor = dead
	Write(filepath.Join(run, "live.json"), struct {
		Pid      int
		PidStart uint64
		BootID   string
	}{live.Pid, live.Start, live.BootID})
	if !a.Alive() {
		t.Error("its container lives")
	}
	live.BootID = "another"
	if live.Alive() {
		t.Error("a process of another boot lives")
	}
}

func TestPortString(t *testing.T) {
	for want, p := range map[string]Port{
		"80/tcp -> 0.0.0.0:8080": {HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
		"53/udp -> [::1]:53":     {HostIP: "::1", HostPort: 53, ContainerPort: 53, Protocol: "udp"},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
