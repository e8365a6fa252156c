package rootfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// keepID is the mapping of --userns keep-id for the user 1000: its root is our 1, its 1000 our root.
func keepID() Mapping {
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1, Size: 1000}, {ContainerID: 1000, HostID: 0, Size: 1}, {ContainerID: 1001, HostID: 1001, Size: 60000}}
	return Mapping{UIDs: maps, GIDs: maps}
}

func TestShift(t *testing.T) {
	m := keepID()
	for in, want := range map[int]int{0: 1, 999: 1000, 1000: 0, 1001: 1001, 61000: 61000} {
		if u, g, err := m.shift(in, in); err != nil || u != want || g != want {
			t.Errorf("%d: %d:%d %v, want %d", in, u, g, err, want)
		}
	}
	if _, _, err := m.shift(61001, 0); err == nil || !strings.Contains(err.Error(), "61001") {
		t.Errorf("unmapped id: %v", err)
	}
}

func TestMapped(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		needsIDs(t)
		s := rich(t, dir)
		d := layout.Dirs{Data: filepath.Join(dir, "data")}
		top := filepath.Base(filepath.Dir(s.Lower[1]))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := Mapped(t.Context(), d, top, s.Lower, keepID()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		root, err := Mapped(t.Context(), d, top, s.Lower, keepID())
		must(t, err)
		for path, want := range map[string][2]uint32{"": {1, 1}, "one": {1, 1}, "kept/a": {8, 9}, "link": {1, 1}, "dirlink": {1, 1}} {
			var st unix.Stat_t
			must(t, unix.Lstat(filepath.Join(root, path), &st))
			if st.Uid != want[0] || st.Gid != want[1] {
				t.Errorf("%s is owned by %d:%d, want %v", path, st.Uid, st.Gid, want)
			}
		}
		if v, err := readAttribute(root+"/kept/b", "security.capability"); err != nil || len(v) != 24 || v[3] != 3 || v[20] != 1 {
			t.Errorf("file capabilities %x %v", v, err)
		}
		if left, _ := filepath.Glob(filepath.Join(d.Data, "mapped", top, "*")); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
		// A killed copy leaves its temporary directory; the next one starts anew.
		must(t, os.Rename(root, root+".tmp"))
		again, err := Mapped(t.Context(), d, top, s.Lower, keepID())
		must(t, err)
		wantFile(t, again+"/dirlink/inside", "must not land in kept")
		must(t, RemoveMapped(t.Context(), d, top))
		must(t, RemoveMapped(t.Context(), d, top))
		if _, err := os.Stat(again); err == nil {
			t.Error("not removed")
		}
		if left, _ := os.ReadDir(d.Trash()); len(left) != 0 {
			t.Errorf("in the trash: %v", left)
		}
	})
}

func TestMappedErrors(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		needsIDs(t)
		s := newSpec(t, dir, 1)
		d := layout.Dirs{Data: filepath.Join(dir, "data")}
		must(t, os.Chown(s.Lower[0]+"/file0", 65000, 0))
		if _, err := Mapped(t.Context(), d, "top", s.Lower, keepID()); err == nil || !strings.Contains(err.Error(), "65000") {
			t.Errorf("unmapped id: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(d.Data, "mapped/top/*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, os.Chown(s.Lower[0]+"/file0", 0, 0))
		if _, err := Mapped(ctx, d, "top", s.Lower, keepID()); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if _, err := Mapped(t.Context(), d, "../x", s.Lower, keepID()); err == nil {
			t.Error("a path as layer id")
		}
	})
}

// TestMountIDMapped shows layers through a mapping without a copy.
func TestMountIDMapped(t *testing.T) {
	inNamespaces(t, func(t *testing.T, dir string) {
		s := newSpec(t, dir, 3)
		if inUserNamespace() {
			if CanIDMap(s.Lower[0]) {
				t.Error("only the real root can")
			}
			return
		}
		if !CanIDMap(s.Lower[0]) {
			t.Skip("no mapped mounts on this file system or kernel")
		}
		m := keepID()
		s.IDMap = &m
		must(t, Mount(t.Context(), s))
		var st unix.Stat_t
		must(t, unix.Stat(s.Target+"/file0", &st))
		if st.Uid != 1 {
			t.Errorf("owner %d", st.Uid)
		}
		write(t, s.Target+"/new", "x")
		must(t, Unmount(s.Target))
		if mounted(t, s.Target) {
			t.Error("the staging mount stays")
		}
		wantFile(t, s.Upper+"/new", "x")
	})
}
