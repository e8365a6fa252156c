package rootfs

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
)

// BenchmarkMount shows which of the ways to mount is the fastest. It needs a mount namespace: run it as root, or under
// unshare -Urm.
func BenchmarkMount(b *testing.B) {
	for _, n := range []int{5, 30, 120} {
		s := newSpec(b, b.TempDir(), n)
		s.Volatile = true
		must(b, makeUpper(s))
		ways := []struct {
			name  string
			mount func(Spec) error
		}{
			{"default", func(s Spec) error { return Mount(b.Context(), s) }},
			{"classic", func(s Spec) error {
				opts, err := overlayOptions(s, &pathNames{})
				must(b, err)
				return opts.mountClassic(s)
			}},
			{"context", func(s Spec) error {
				opts, err := overlayOptions(s, &pathNames{})
				must(b, err)
				return opts.mountContext(s, func() {})
			}},
			{"short", mountShortNames},
		}
		for _, w := range ways {
			if w.name == "classic" && n > 30 {
				continue // does not fit
			}
			b.Run(fmt.Sprintf("%d/%s", n, w.name), func(b *testing.B) {
				private(b)
				for b.Loop() {
					b.StopTimer()
					os.RemoveAll(s.Work + "/work/incompat")
					b.StartTimer()
					must(b, w.mount(s))
					b.StopTimer()
					must(b, Unmount(s.Target))
					b.StartTimer()
				}
			})
		}
		b.Run(fmt.Sprintf("%d/unmount", n), func(b *testing.B) {
			private(b)
			for b.Loop() {
				b.StopTimer()
				must(b, Mount(b.Context(), s))
				b.StartTimer()
				must(b, Unmount(s.Target))
			}
		})
	}
}

// private gives the benchmark's thread a mount namespace, until both end.
func private(b *testing.B) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		b.Skip(err)
	}
	must(b, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
}

func BenchmarkDetect(b *testing.B) {
	d := layout.Dirs{Data: b.TempDir()}
	b.Run("probe", func(b *testing.B) {
		for b.Loop() {
			os.RemoveAll(d.Cache())
			found, err := Detect(b.Context(), d)
			must(b, err)
			if found.Driver != Overlay {
				b.Skip(found.Note)
			}
		}
	})
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			_, err := Detect(b.Context(), d)
			must(b, err)
		}
	})
}
