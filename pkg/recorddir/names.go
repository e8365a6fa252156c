package recorddir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"golang.org/x/sys/unix"
)

// Claim gives name to the record id. The link and its target appear in one system call, so a claim is never half
// made. ErrNameInUse (a *NameInUseError) tells who has it; a claim left by a dead creator is taken over. keeps tells
// whether a complete record still goes by that name (a rename may have been killed half way).
func (d Dir) Claim(name, id string, keeps func(owner string) bool) error {
	link := filepath.Join(d.Names, name)
	for range 3 {
		err := os.Symlink(id, link)
		if err == nil {
			faultpoint.Hit(d.Kind + ".named")
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("claim name %q: %w", name, err)
		}
		owner, err := os.Readlink(link)
		if err != nil {
			continue
		}
		if !d.dropStale(name, owner, keeps) {
			return &NameInUseError{Kind: d.Kind, Name: name, Owner: owner}
		}
	}
	return &NameInUseError{Kind: d.Kind, Name: name}
}

// TakeOver gives name to the record id whoever has it, in one step: at no time does nobody have it. It returns who had it.
func (d Dir) TakeOver(name, id string) (old string, err error) {
	unlock, err := d.lockNames()
	if err != nil {
		return "", fmt.Errorf("claim name %q: %w", name, err)
	}
	defer unlock()
	link := filepath.Join(d.Names, name)
	tmp := filepath.Join(d.Names, "."+name+".tmp")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) { // a killed one's
		return "", fmt.Errorf("claim name %q: %w", name, err)
	}
	old, _ = os.Readlink(link)
	if err := os.Symlink(id, tmp); err != nil {
		return "", fmt.Errorf("claim name %q: %w", name, err)
	}
	if err := os.Rename(tmp, link); err != nil {
		os.Remove(tmp)
		return "", fmt.Errorf("claim name %q: %w", name, err)
	}
	faultpoint.Hit(d.Kind + ".named")
	return old, atomicfile.SyncDir(d.Names)
}

// NameInUseError says that a name is another record's.
type NameInUseError struct{ Kind, Name, Owner string }

func (e *NameInUseError) Error() string {
	owner := e.Owner
	if len(owner) > 12 {
		owner = owner[:12]
	}
	return fmt.Sprintf("%s name %q is in use by %s (remove or rename it, or use --replace)", e.Kind, e.Name, owner)
}

func (e *NameInUseError) Unwrap() error { return errdefs.ErrNameInUse }

// dropStale removes the claim of name if its owner is gone, was never completed by a creator that is dead, or goes by
// another name. It works under the lock of the names directory so that two never drop each other's fresh claim.
func (d Dir) dropStale(name, owner string, keeps func(string) bool) bool {
	unlock, err := d.lockNames()
	if err != nil {
		return false
	}
	defer unlock()
	if now, err := os.Readlink(filepath.Join(d.Names, name)); err != nil || now != owner {
		return err != nil
	}
	lock, err := d.TryAcquire(owner)
	if errors.Is(err, errdefs.ErrNotFound) {
		return d.release(name, owner) == nil
	}
	if err != nil || lock == nil {
		return false
	}
	defer lock.Unlock()
	switch {
	case !d.Complete(owner):
		return d.release(name, owner) == nil && d.Remove(owner) == nil
	case keeps != nil && !keeps(owner):
		return d.release(name, owner) == nil
	}
	return false
}

// Release drops name if it is id's. Looking and dropping are one step under the lock of the names directory: a record
// that is in the trash may lose its name to another one at any moment.
func (d Dir) Release(name, id string) error {
	if name == "" || d.Names == "" {
		return nil
	}
	unlock, err := d.lockNames()
	if err != nil {
		return fmt.Errorf("release name %q: %w", name, err)
	}
	defer unlock()
	return d.release(name, id)
}

func (d Dir) release(name, id string) error {
	link := filepath.Join(d.Names, name)
	if owner, err := os.Readlink(link); err != nil || owner != id {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release name %q: %w", name, err)
	}
	return nil
}

func (d Dir) lockNames() (unlock func(), err error) {
	names, err := os.Open(d.Names)
	if err != nil {
		return nil, err
	}
	if err := flock(names, unix.LOCK_EX); err != nil {
		names.Close()
		return nil, err
	}
	return func() { names.Close() }, nil
}

// Owner is the id that name is claimed for.
func (d Dir) Owner(name string) (string, bool) {
	id, err := os.Readlink(filepath.Join(d.Names, name))
	return id, err == nil
}

// AllNames lists the claimed names, in no order.
func (d Dir) AllNames() ([]string, error) {
	f, err := os.Open(d.Names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return slices.DeleteFunc(names, func(name string) bool { return name[0] == '.' }), err // half a TakeOver
}
