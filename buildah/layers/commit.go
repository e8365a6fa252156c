package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containers/storage"
	graphdriver "github.com/containers/storage/drivers"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/buildcache"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/rootfs"
)

// Commit makes a layer of what was written to the draft, which ends with it, and returns the stack with it on top. A
// layer of that content that is there already is taken.
func (d *Draft) Commit(ctx context.Context, i Info) ([]string, error) {
	defer d.Discard()
	id, err := d.commit(ctx, i)
	if err != nil {
		if i.CreatedBy != "" {
			err = fmt.Errorf("keep the result of %q: %w", i.CreatedBy, err)
		}
		return nil, err
	}
	return append(d.base[:len(d.base):len(d.base)], id), nil
}

func (d *Draft) commit(ctx context.Context, i Info) (string, error) {
	if err := rootfs.Unmount(d.root); err != nil {
		return "", err
	}
	parent, chained, err := d.store.top(d.base)
	if err != nil {
		return "", err
	}
	if !chained {
		parent = ""
	}
	lower, err := d.store.view(ctx, d.base)
	if err != nil {
		return "", err
	}
	defer lower.Close()
	if err := d.likeBelow(lower.Root()); err != nil {
		return "", err
	}
	p := &packer{full: d.store.driver == rootfs.VFS}
	if i.Epoch != nil {
		p.epoch = *i.Epoch
	}
	if d.staged == nil {
		return d.store.put(ctx, p, d.upper, lower.Root(), parent)
	}
	out, err := p.describe(ctx, d.place, d.upper, lower.Root())
	if err != nil {
		return "", err
	}
	out.Target = d.upper
	faultpoint.Hit("build.packed")
	return d.store.apply(ctx, out, parent, p.hides)
}

// likeBelow gives the top directory the owner and mode of the one below, whatever the step has done to them: a layer
// says nothing of the directory itself.
func (d *Draft) likeBelow(lower string) error {
	var st unix.Stat_t
	st.Mode = 0o755
	if lower != "" {
		if err := unix.Stat(lower, &st); err != nil {
			return err
		}
	}
	return errors.Join(os.Chown(d.upper, int(st.Uid), int(st.Gid)), unix.Chmod(d.upper, st.Mode&0o7777))
}

// describe reads a layer once and says what is to be recorded of it.
func (p *packer) describe(ctx context.Context, tmp, upper, lower string) (*graphdriver.DriverWithDifferOutput, error) {
	split, err := tempFile(tmp)
	if err != nil {
		return nil, err
	}
	buffered := &lineBuffer{file: split}
	p.out = newStream(buffered, nil)
	if err := errors.Join(p.out.finish(p.pack(ctx, upper, lower)), buffered.flush()); err != nil {
		return nil, errors.Join(err, split.Close())
	}
	uids, gids := p.out.owners()
	return &graphdriver.DriverWithDifferOutput{UncompressedDigest: p.out.digest(), Size: p.out.size, UIDs: uids, GIDs: gids, TarSplit: split}, nil
}

// lineBuffer gathers small writes.
type lineBuffer struct {
	file *os.File
	data []byte
}

func (b *lineBuffer) Write(p []byte) (int, error) {
	if b.data = append(b.data, p...); len(b.data) < 256<<10 {
		return len(p), nil
	}
	return len(p), b.flush()
}

func (b *lineBuffer) flush() error {
	_, err := b.file.Write(b.data)
	b.data = b.data[:0]
	return err
}

// apply makes a layer of a staging directory by a rename. The directory is taken, or stays the caller's when there is
// such a layer already.
func (s *Store) apply(ctx context.Context, out *graphdriver.DriverWithDifferOutput, parent string, hides bool) (string, error) {
	id := ChainID(parent, out.UncompressedDigest)
	err := s.whileNaming(ctx, id, func() error {
		mode := os.FileMode(0o755)
		if info, err := os.Stat(out.Target); err == nil {
			mode = info.Mode()
		}
		out.RootDirMode = &mode // the directory has it: the driver need not look below
		_, err := s.storage.ApplyStagedLayer(storage.ApplyStagedLayerOptions{
			ID: id, ParentLayer: parent, DiffOutput: out, LayerOptions: layerOptions(parent, hides),
		})
		return err
	})
	if out.TarSplit != nil {
		out.TarSplit.Close()
	}
	return id, err
}

func layerOptions(parent string, hides bool) *storage.LayerOptions {
	o := &storage.LayerOptions{}
	o.HostUIDMapping, o.HostGIDMapping = true, true
	if hides && parent == "" {
		o.Flags = map[string]any{hidesFlag: true}
	}
	return o
}

// whileNaming makes the layer of a name unless it is there. The lock is needed because containers/storage puts a staged
// directory into the place of a layer that has the same name, even one that is in use.
func (s *Store) whileNaming(ctx context.Context, id string, do func() error) error {
	if err := s.lease.Hold(ctx, []string{id}); err != nil {
		return err
	}
	return buildcache.Locked(ctx, s.dirs, "layer-"+id, func() error {
		there, err := s.exists(id)
		if there || err != nil {
			return err
		}
		if err := do(); err != nil {
			return fmt.Errorf("make layer %s: %w", short(id), err)
		}
		faultpoint.Hit("build.layer")
		return nil
	})
}

// put makes a layer in a driver that has no staging: the stream is made twice, for its name and for its files.
func (s *Store) put(ctx context.Context, p *packer, upper, lower, parent string) (string, error) {
	p.out = newStream(nil, nil)
	if err := p.out.finish(p.pack(ctx, upper, lower)); err != nil {
		return "", err
	}
	id := ChainID(parent, p.out.digest())
	return id, s.whileNaming(ctx, id, func() error {
		r, w := io.Pipe()
		packed := make(chan error, 1)
		go func() {
			again := &packer{epoch: p.epoch, full: p.full, out: newStream(nil, w)}
			err := again.out.finish(again.pack(ctx, upper, lower))
			w.CloseWithError(err)
			packed <- err
		}()
		_, _, err := s.storage.PutLayer(id, parent, nil, "", false, layerOptions(parent, p.hides), r)
		r.CloseWithError(errors.New("the store does not take more"))
		if packErr := <-packed; err == nil {
			err = packErr
		}
		return err
	})
}

// top is the uppermost layer of a stack, and whether the stack is the whole chain of it and its parents.
func (s *Store) top(layers []string) (string, bool, error) {
	parent := ""
	for _, id := range layers {
		l, err := s.storage.Layer(id)
		if err != nil {
			return "", false, gone(id, err)
		}
		if l.Parent != parent {
			return layers[len(layers)-1], false, nil
		}
		parent = id
	}
	return parent, true, nil
}

// view shows a stack for reading: a single layer needs no mount.
func (s *Store) view(ctx context.Context, layers []string) (*Mount, error) {
	if len(layers) == 0 {
		return &Mount{done: func() error { return nil }}, nil
	}
	lower, err := s.lower(ctx, layers)
	if err != nil {
		return nil, err
	}
	if len(lower) == 1 {
		return &Mount{root: lower[0], done: func() error { return nil }}, nil
	}
	return s.Mount(ctx, layers)
}
