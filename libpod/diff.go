package libpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/archive"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Diff lists what changed in the container's root file system since its image, in the order of the paths.
func (e *Engine) Diff(ctx context.Context, ref string) (changes []archive.Change, err error) {
	err = e.onContainer(ref, func(id string) error {
		c, err := e.lookSettled(id)
		if err != nil {
			return err
		}
		changes, err = e.changesOf(ctx, c, false)
		return err
	})
	return changes, err
}

// DiffImage lists what an image's topmost layer changes in those below it.
func (e *Engine) DiffImage(ctx context.Context, ref string) ([]archive.Change, error) {
	img, err := e.images.Lookup(ctx, ref)
	if err != nil || len(img.Lower) == 0 {
		return nil, err
	}
	found, err := rootfs.Detect(ctx, e.dirs)
	if err != nil {
		return nil, err
	}
	upper, lower := img.Lower[0], img.Lower[1:]
	if rootfs.FullCopy(found.Driver) {
		lower = nil // each layer is a whole tree, of which the store shows only the last
	}
	return e.compare(ctx, upper, rootfs.Spec{Lower: lower, Driver: found.Driver}, func(string) bool { return false }, false)
}

// changesOf compares the read-write layer of c with its image. Strict also finds files that were made the same again.
func (e *Engine) changesOf(ctx context.Context, c *container, strict bool) ([]archive.Change, error) {
	s := &startup{e: e, c: c}
	in, err := e.mapIDs(&fileView{c: c})
	if err != nil {
		return nil, err
	}
	lower, err := s.rootSpec(ctx, &in)
	if err != nil {
		return nil, err
	}
	changes, err := e.compare(ctx, filepath.Join(e.dirs.Container(c.ID), record.UpperDir), lower, c.madeByRuntime(), strict)
	if err != nil {
		err = fmt.Errorf("compare container %q with its image: %w", c.name(), err)
	}
	return changes, err
}

// compare mounts the layers below, as one tree, in a mount namespace of its own. That costs less than to look into each
// of them for each file.
func (e *Engine) compare(ctx context.Context, upper string, lower rootfs.Spec, hidden func(string) bool, strict bool) (changes []archive.Change, err error) {
	up, err := openPath(upper)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it never ran
	} else if err != nil {
		return nil, err
	}
	defer up.Close()
	l := archive.Layers{Upper: up, Full: rootfs.FullCopy(lower.Driver), Strict: strict, Hidden: hidden,
		Whiteout: rootfs.Whiteout, Opaque: rootfs.Opaque}
	if len(lower.Lower) == 0 {
		return archive.Changes(l)
	}
	lower.Upper, lower.Work, lower.ReadOnly, lower.Target = "", "", true, e.dirs.Data
	err = onOwnThread(func() error {
		if err := isolate(); err != nil {
			return err
		}
		if err := rootfs.Mount(ctx, lower); err != nil {
			return err
		}
		if l.Lower, err = openPath(lower.Target); err != nil {
			return err
		}
		defer l.Lower.Close()
		changes, err = archive.Changes(l)
		return err
	})
	return changes, err
}

// madeByRuntime tells what a start puts into the root file system so that something can be mounted over it.
func (c *container) madeByRuntime() func(string) bool {
	paths := []string{"/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/run/secrets", "/.dockerenv"}
	for _, m := range c.Mounts {
		paths = append(paths, strings.TrimSuffix(m.Target, "/"))
	}
	return func(path string) bool { return slices.Contains(paths, path) }
}
