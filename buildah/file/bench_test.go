package file

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/content"
)

// BenchmarkCopy copies 10,000 small files, and one large one, by BuildKit's way and ours.
func BenchmarkCopy(b *testing.B) {
	small, large := b.TempDir(), b.TempDir()
	text := make([]byte, 2000)
	for i := range 10000 {
		dir := filepath.Join(small, fmt.Sprint("d", i/100))
		noError(b, os.MkdirAll(dir, 0o755))
		noError(b, os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), text[:i%2000], 0o644))
	}
	f, err := os.Create(filepath.Join(large, "file"))
	noError(b, err)
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for range 1024 {
		_, err := f.Write(block)
		noError(b, err)
	}
	noError(b, f.Close())
	a := &pb.FileActionCopy{Src: "/", Dest: "/", DirCopyContents: true, CreateDestPath: true, Mode: -1, Timestamp: -1}
	for name, in := range map[string]string{"small": small, "large": large} {
		b.Run(name+"/wherry", func(b *testing.B) {
			for b.Loop() {
				view, err := content.Open(b.Context(), in, content.Options{RootOwned: true})
				noError(b, err)
				into(b, func(dir string) error {
					return Do(b.Context(), &pb.FileAction{Action: &pb.FileAction_Copy{Copy: a}}, dir, view, Users{})
				})
			}
		})
		b.Run(name+"/BuildKit", func(b *testing.B) {
			for b.Loop() {
				into(b, func(dir string) error { return asBuildKit(in, dir, a) })
			}
		})
	}
}

func into(b *testing.B, do func(string) error) {
	dir, err := os.MkdirTemp(b.TempDir(), "")
	noError(b, err)
	noError(b, do(dir))
	b.StopTimer()
	noError(b, os.RemoveAll(dir))
	b.StartTimer()
}

// BenchmarkDigest makes the digest of a context of 10,000 files that is remembered.
func BenchmarkDigest(b *testing.B) {
	dir, kept := b.TempDir(), b.TempDir()
	for i := range 10000 {
		sub := filepath.Join(dir, fmt.Sprint("d", i/100))
		noError(b, os.MkdirAll(sub, 0o755))
		noError(b, os.WriteFile(filepath.Join(sub, fmt.Sprint("f", i)), []byte("x"), 0o644))
	}
	age(b, dir)
	for name, f := range map[string]content.Filter{"all": {}, "ignored": {Exclude: []string{".git", "**/*.o", "d1?", "!d17"}, Follow: []string{"d*"}}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				view, err := content.Open(b.Context(), dir, content.Options{RootOwned: true, Filter: f, Memory: content.NewMemory(kept)})
				noError(b, err)
				_, err = view.Digest(b.Context())
				noError(b, err)
				view.Close()
			}
		})
	}
}
