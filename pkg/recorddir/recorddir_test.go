package recorddir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"golang.org/x/sys/unix"
)

func newDir(t *testing.T) Dir {
	root := t.TempDir()
	return Dir{Kind: "thing", Root: filepath.Join(root, "things"), Names: filepath.Join(root, "names"),
		Trash: filepath.Join(root, "trash"), Marker: "config.json"}
}

func create(t *testing.T, d Dir, id string) {
	t.Helper()
	lock, err := d.New(id)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if err := d.WriteFile(id, d.Marker, []byte("{}"), atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
}

func TestClaimIsExclusive(t *testing.T) {
	d := newDir(t)
	create(t, d, "a")
	create(t, d, "b")
	if err := d.Claim("web", "a", nil); err != nil {
		t.Fatal(err)
	}
	err := d.Claim("web", "b", nil)
	if !errors.Is(err, errdefs.ErrNameInUse) {
		t.Fatalf("second claim: %v, want ErrNameInUse", err)
	}
	if owner, _ := d.Owner("web"); owner != "a" {
		t.Errorf("owner is %q, want a", owner)
	}
}

func TestClaimTakesOverWhatTheDeadLeft(t *testing.T) {
	for name, leave := range map[string]func(Dir){
		"no directory":        func(d Dir) { d.Setup(); os.Symlink("gone", filepath.Join(d.Names, "web")) },
		"incomplete creation": func(d Dir) { l, _ := d.New("gone"); l.Unlock(); d.Claim("web", "gone", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			leave(d)
			create(t, d, "b")
			if err := d.Claim("web", "b", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(d.Path("gone")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the dead creator's directory is still there: %v", err)
			}
		})
	}
}

func TestClaimRespectsTheLivingCreator(t *testing.T) {
	d := newDir(t)
	lock, err := d.New("a")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if err := d.Claim("web", "a", nil); err != nil {
		t.Fatal(err)
	}
	create(t, d, "b")
	if err := d.Claim("web", "b", nil); !errors.Is(err, errdefs.ErrNameInUse) {
		t.Errorf("claim against a creator at work: %v, want ErrNameInUse", err)
	}
}

func TestClaimOfAKilledRename(t *testing.T) {
	d := newDir(t)
	create(t, d, "a")
	create(t, d, "b")
	d.Claim("new", "a", nil) // and then the renamer was killed
	if err := d.Claim("new", "b", func(string) bool { return false }); err != nil {
		t.Error(err)
	}
}

// Many claim the same dead name at once: exactly one gets it, and no fresh claim is dropped.
func TestStealRace(t *testing.T) {
	for range 50 {
		d := newDir(t)
		d.Setup()
		os.Symlink("gone", filepath.Join(d.Names, "web"))
		var wg sync.WaitGroup
		won := make(chan string, 8)
		for i := range 8 {
			id := fmt.Sprint("c", i)
			create(t, d, id)
			wg.Go(func() {
				if d.Claim("web", id, nil) == nil {
					won <- id
				}
			})
		}
		wg.Wait()
		close(won)
		var winners []string
		for id := range won {
			winners = append(winners, id)
		}
		owner, _ := d.Owner("web")
		if len(winners) != 1 || owner != winners[0] {
			t.Fatalf("winners %v, owner %q", winners, owner)
		}
	}
}

func TestRemoveUnderAWaiter(t *testing.T) {
	d := newDir(t)
	create(t, d, "a")
	lock, err := d.Acquire("a")
	if err != nil {
		t.Fatal(err)
	}
	waiter := make(chan error)
	go func() {
		_, err := d.Acquire("a")
		waiter <- err
	}()
	if err := d.Remove("a"); err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	if err := <-waiter; !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("waiter got %v, want ErrNotFound", err)
	}
}

func TestTryAcquire(t *testing.T) {
	d := newDir(t)
	create(t, d, "a")
	lock, _ := d.Acquire("a")
	if other, err := d.TryAcquire("a"); other != nil || err != nil {
		t.Errorf("held: got %v, %v, want nil, nil", other, err)
	}
	lock.Unlock()
	other, err := d.TryAcquire("a")
	if other == nil || err != nil {
		t.Fatalf("free: got %v, %v", other, err)
	}
	other.Unlock()
	if _, err := d.TryAcquire("none"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("missing: %v, want ErrNotFound", err)
	}
}

// The lock is the open file's: a process that inherits it keeps it when the giver is gone.
func TestLockIsSharedWithWhoInheritsIt(t *testing.T) {
	d := newDir(t)
	create(t, d, "a")
	lock, _ := d.Acquire("a")
	heir, err := unix.Dup(int(lock.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	if other, _ := d.TryAcquire("a"); other != nil {
		t.Fatal("the lock was free while the heir held it")
	}
	unix.Close(heir)
	if other, _ := d.TryAcquire("a"); other == nil {
		t.Error("the lock is not free after the heir closed it")
	}
}

func TestRemoveAllOfLockedDirectories(t *testing.T) {
	dir := t.TempDir()
	work := filepath.Join(dir, "c", "work", "work")
	os.MkdirAll(work, 0o700)
	os.WriteFile(filepath.Join(work, "f"), nil, 0o600)
	os.Chmod(work, 0)
	if err := RemoveAll(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); !errors.Is(err, os.ErrNotExist) {
		t.Error("still there")
	}
}

func TestRemoveReplacesOldTrash(t *testing.T) {
	d := newDir(t)
	create(t, d, "a")
	os.MkdirAll(filepath.Join(d.Trash, "a", "old"), 0o700)
	lock, _ := d.Acquire("a")
	defer lock.Unlock()
	if err := d.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(d.Trash); len(left) != 0 {
		t.Errorf("trash holds %v", left)
	}
}
