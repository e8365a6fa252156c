package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/buildkit/util/converter/tarconverter"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Clamp returns a chain like the one given in which no entry is younger than the epoch. The layers of the image below,
// base, stay as they are.
func (s *Store) Clamp(ctx context.Context, chain []string, base []digest.Digest, epoch time.Time) ([]string, error) {
	var out []string
	parent, own := "", false
	for i, id := range chain {
		l, err := s.Layer(id)
		if err != nil {
			return nil, err
		}
		if !own && i < len(base) && base[i] == l.DiffID {
			out, parent = append(out, id), id
			continue
		}
		own = true
		open := func() (io.ReadCloser, error) { return s.clamped(id, epoch) }
		if parent, err = s.AddTar(ctx, parent, "", open); err != nil {
			return nil, fmt.Errorf("rewrite layer %s: %w", short(id), err)
		}
		out = append(out, parent)
	}
	return out, nil
}

// clamped is a layer's tar stream with no entry younger than the epoch. It is the one that BuildKit makes.
func (s *Store) clamped(id string, epoch time.Time) (io.ReadCloser, error) {
	r, err := s.Tar(id)
	if err != nil {
		return nil, err
	}
	out := tarconverter.NewReader(r, func(h *tar.Header) {
		for _, t := range []*time.Time{&h.ModTime, &h.AccessTime, &h.ChangeTime} {
			if t.After(epoch) {
				*t = epoch
			}
		}
	})
	return &chained{ReadCloser: out, below: r}, nil
}

// chained is a stream that is made of another one.
type chained struct {
	io.ReadCloser
	below io.Closer
}

func (c *chained) Close() error { return errors.Join(c.ReadCloser.Close(), c.below.Close()) }

// AddTar makes a layer of an uncompressed tar stream on a parent, "" for none. Without a digest the stream is opened
// twice: for its name, and for its files. One that is not what the digest says is refused.
func (s *Store) AddTar(ctx context.Context, parent string, diffID digest.Digest, open func() (io.ReadCloser, error)) (string, error) {
	if parent != "" {
		if err := s.Hold(ctx, []string{parent}); err != nil {
			return "", err
		}
	}
	if diffID == "" {
		r, err := open()
		if err != nil {
			return "", err
		}
		diffID, err = digest.FromReader(&contextReader{ctx, r})
		if err = errors.Join(err, r.Close()); err != nil {
			return "", err
		}
	}
	if err := diffID.Validate(); err != nil {
		return "", err
	}
	id := ChainID(parent, diffID)
	return id, s.whileNaming(ctx, id, func() error {
		r, err := open()
		if err != nil {
			return err
		}
		defer r.Close()
		l, _, err := s.storage.PutLayer(id, parent, nil, "", false, layerOptions(parent, false), &contextReader{ctx, r})
		if err != nil {
			return err
		}
		if l.UncompressedDigest != diffID {
			return errors.Join(errdefs.New(errdefs.ErrBroken, "its content is %s and not %s", l.UncompressedDigest, diffID), s.storage.DeleteLayer(id))
		}
		return nil
	})
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
