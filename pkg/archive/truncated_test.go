package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// A stream that ends where an entry does is cut off all the same, whatever the entry's last bytes are.
func TestUnpackTruncated(t *testing.T) {
	t.Parallel()
	for name, content := range map[string][]byte{"text": []byte("hello"), "zeroes": make([]byte, 3*tarBlock), "none": nil} {
		var whole bytes.Buffer
		w := tar.NewWriter(&whole)
		if err := w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid(), Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		w.Write(content)
		w.Flush()
		end := whole.Len()
		w.Close()
		for cut, want := range map[int]bool{whole.Len(): true, end + tarBlock: true, end: false} {
			root, err := os.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			err = Unpack(t.Context(), bytes.NewReader(whole.Bytes()[:cut]), root, ".", Options{Complete: true})
			if (err == nil) != want || err != nil && !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("%s, %d of %d bytes: %v", name, cut, whole.Len(), err)
			}
			if err := Unpack(t.Context(), bytes.NewReader(whole.Bytes()[:cut]), root, ".", Options{Overwrite: true}); err != nil {
				t.Errorf("%s, %d of %d bytes, not asked for: %v", name, cut, whole.Len(), err)
			}
		}
	}
}
