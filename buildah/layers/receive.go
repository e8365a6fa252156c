package layers

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Received makes a layer on a parent of an uncompressed tar stream from elsewhere, unless it is there, and returns its
// id. open is asked for the stream twice: nothing is unpacked before the whole of it turned out to be what diffID says.
func (s *Store) Received(ctx context.Context, parent string, diffID digest.Digest, open func() (io.ReadCloser, error)) (string, error) {
	if err := diffID.Validate(); err != nil || diffID.Algorithm() != digest.SHA256 {
		return "", errdefs.New(errdefs.ErrInvalid, "layer %q: not a sha256 digest", string(diffID))
	}
	id := ChainID(parent, diffID)
	if parent != "" {
		if err := s.lease.Hold(ctx, []string{parent}); err != nil {
			return "", err
		}
	}
	return id, s.whileNaming(ctx, id, func() error {
		if err := verify(diffID, open); err != nil {
			return err
		}
		in, err := open()
		if err != nil {
			return err
		}
		defer in.Close()
		// Nobody has looked for whiteouts in it: it is taken for one that has some.
		l, _, err := s.storage.PutLayer(id, parent, nil, "", false, layerOptions(parent, true), in)
		if err == nil && l.UncompressedDigest != diffID {
			_ = s.storage.DeleteLayer(id)
			return errdefs.New(errdefs.ErrBroken, "layer %s changed while it was read", diffID)
		}
		return err
	})
}

// Has tells whether a layer is there.
func (s *Store) Has(id string) bool {
	_, err := os.Lstat(s.Dir(id))
	return err == nil
}

func verify(diffID digest.Digest, open func() (io.ReadCloser, error)) error {
	in, err := open()
	if err != nil {
		return err
	}
	defer in.Close()
	sum := diffID.Verifier()
	if _, err := io.Copy(sum, in); err != nil {
		return fmt.Errorf("layer %s: %w", diffID, err)
	}
	if !sum.Verified() {
		return errdefs.New(errdefs.ErrBroken, "layer %s is not what its digest says", diffID)
	}
	return nil
}
