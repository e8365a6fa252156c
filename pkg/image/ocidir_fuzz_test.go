package image

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FuzzUnpackArchive: whatever an archive holds, nothing but regular files of an OCI directory comes out of it.
func FuzzUnpackArchive(f *testing.F) {
	f.Add(hostileTar(with("index.json", "{}"), with(blob(lieOf("a")), "x"), link("blobs", "/etc"), with("../x", "y")))
	f.Add(nested())
	f.Add(claimed(blob(lieOf("3")), 1<<50))
	f.Fuzz(func(t *testing.T, data []byte) {
		work := t.TempDir()
		s := &Session{work: &workDir{path: filepath.Join(work, "work")}}
		file := filepath.Join(work, "archive")
		os.Mkdir(s.work.path, 0o700)
		os.WriteFile(file, data, 0o600)
		dir, _ := s.unpackArchive(file)
		filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, path)
			switch {
			case err != nil || path == file || d.IsDir():
			case !d.Type().IsRegular() || !ofLayout(rel):
				t.Errorf("%s came out of %q", rel, bytes.Clone(data[:min(len(data), 600)]))
			}
			return nil
		})
	})
}
