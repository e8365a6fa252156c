package buildcache

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Lease keeps layers from being removed while this process works with them. It is a file that lists them; its lock,
// which dies with the process, says that it counts.
type Lease struct {
	images *store.Store
	mu     sync.Mutex
	file   *os.File
	held   map[string]bool
}

// OpenLease makes a lease that holds nothing yet.
func OpenLease(d layout.Dirs) (*Lease, error) {
	dir := leasesDir(d)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the build cache: %w", err)
	}
	for {
		f, err := os.CreateTemp(dir, "lease-*")
		if err != nil {
			return nil, fmt.Errorf("lease layers: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			return nil, errors.Join(fmt.Errorf("lease layers: %w", err), f.Close())
		}
		// Who looked at it before it was locked has taken it for one of the dead.
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0 {
			return &Lease{images: store.Open(d), file: f, held: map[string]bool{}}, nil
		}
		f.Close()
	}
}

// Hold keeps layers from now on. Whether they are there is for the caller to see, after Hold.
func (l *Lease) Hold(ctx context.Context, layers []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return errors.New("the lease on layers is closed")
	}
	var lines strings.Builder
	for _, id := range layers {
		if !l.held[id] {
			lines.WriteString(id + "\n")
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	// Who removes layers has either read this before, and then they are gone when we look, or waits.
	err := l.images.WithImagesShared(ctx, func() error {
		_, err := l.file.WriteString(lines.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("lease layers: %w", err)
	}
	for _, id := range layers {
		l.held[id] = true
	}
	return nil
}

// Release gives the layers back and goes on without any.
func (l *Lease) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || len(l.held) == 0 {
		return nil
	}
	clear(l.held)
	_, err := l.file.Seek(0, io.SeekStart)
	return errors.Join(err, l.file.Truncate(0))
}

// Close gives the layers back. It may be called twice.
func (l *Lease) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// Held are the layers that living processes hold. The leases of dead ones are removed.
func Held(d layout.Dirs) (map[string]bool, error) {
	held := map[string]bool{}
	entries, err := os.ReadDir(leasesDir(d))
	if errors.Is(err, fs.ErrNotExist) {
		return held, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the leases of layers: %w", err)
	}
	for _, e := range entries {
		if err := readLease(filepath.Join(leasesDir(d), e.Name()), held); err != nil {
			return nil, fmt.Errorf("read the leases of layers: %w", err)
		}
	}
	return held, nil
}

func readLease(path string, into map[string]bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // ended just now
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		return os.Remove(path)
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		into[lines.Text()] = true
	}
	return lines.Err()
}
