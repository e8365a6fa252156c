package ociruntime_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/libpod/spec"
)

func idMap(t *testing.T, file string) []specs.LinuxIDMapping {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []specs.LinuxIDMapping
	for line := range strings.Lines(string(b)) {
		var m specs.LinuxIDMapping
		if _, err := fmt.Sscan(line, &m.ContainerID, &m.HostID, &m.Size); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func tmpfs(target string) specs.Mount {
	return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}}
}

// process is what the engine gives to Exec.
func process(b *bench, args ...string) *specs.Process {
	b.t.Helper()
	in := b.in
	s, err := spec.Build(in)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := spec.ExecProcess(s.Process, spec.Exec{Args: args})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// docker14 is the mask of Docker's default capabilities; without CAP_MKNOD where device rules cannot be had.
func docker14(b *bench) string {
	if !b.in.Host.Rootless && b.in.Cgroup.Version == 2 && !b.in.Host.Caps.Has("CAP_SYS_RESOURCE") {
		return "00000000a00425fb"
	}
	return "00000000a80425fb"
}
