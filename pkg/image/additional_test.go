package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// TestAdditionalStoreIsOnlyRead: its images are here at once, and nothing of ours ever changes it.
func TestAdditionalStoreIsOnlyRead(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t)
	writeFile(t, f.path("root.tar"), tarOf(t, map[string]string{"file": "1"}))
	other := f.victim("import", f.path("root.tar")) // the library knows one lock in one way only in a process
	other.Env = append(other.Env, envDir+"="+f.path("other"))
	f.noError(other.Run())
	root := f.path("other/data/storage")
	before := listing(t, root)

	f.write("home/storage.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = \"/not/ours\"\n[storage.options]\nadditionalimagestores = [%q, \"/not/there\"]\n", root))
	f.noError(f.Close())
	f.fresh()
	_, err := f.pull("imported:1", option.Pull{Policy: option.PullMissing})
	f.noError(err)
	f.noError(f.Save(ctx, []string{"imported:1"}, option.Save{Output: f.path("s.tar"), Quiet: true}))
	f.failsWith(f.Remove(ctx, "imported:1", option.Remove{Force: true}), errdefs.ErrUnsupported, "read-only", root)
	f.failsWith(f.Tag(ctx, "imported:1", []string{"mine"}), errdefs.ErrUnsupported, "read-only")
	f.noError(f.RemoveAll(ctx, option.Remove{Force: true}))
	_, err = f.Prune(ctx, option.Prune{All: true})
	f.noError(err)
	if after := listing(t, root); after != before {
		t.Errorf("changed:\n%s\nto\n%s", before, after)
	}
	f.write("home/storage.conf", "[storage\n")
	f.noError(f.Close())
	f.store.Shutdown(true)
	_, err = Open(f.cfg)
	f.failsWith(err, nil, "storage.conf")
}

// listing is every path below dir with its size, lock files aside: readers lock.
func listing(t *testing.T, dir string) string {
	t.Helper()
	out := ""
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && filepath.Ext(path) != ".lock" {
			out += fmt.Sprintf("%s %d %s\n", path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
