package layers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// BenchmarkCommit: what a step costs beside its own work.
func BenchmarkCommit(b *testing.B) {
	many := func(root string) error {
		for i := range 10000 {
			path := filepath.Join(root, fmt.Sprint("dir", i/100), fmt.Sprint("file", i))
			if i%100 == 0 {
				if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
					return err
				}
			}
			if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	large := func(root string) error {
		f, err := os.Create(filepath.Join(root, "large"))
		if err != nil {
			return err
		}
		block := make([]byte, 1<<20)
		for i := range 1 << 10 {
			block[i] = byte(i)
			if _, err := f.Write(block); err != nil {
				return err
			}
		}
		return f.Close()
	}
	for name, change := range map[string]func(string) error{"empty": func(string) error { return nil }, "small10000": many, "large1G": large} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b, rootfs.Overlay)
			n := 0
			for b.Loop() {
				b.StopTimer()
				d, err := f.Begin(b.Context(), nil)
				f.must(err)
				f.must(change(d.Root()))
				f.must(os.WriteFile(filepath.Join(d.Root(), fmt.Sprint("n", n)), nil, 0o644))
				n++
				b.StartTimer()
				_, err = d.Commit(b.Context(), Info{})
				f.must(err)
			}
		})
	}
}
