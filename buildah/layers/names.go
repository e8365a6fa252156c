package layers

import (
	"compress/gzip"
	"fmt"
	"os"

	"github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/asm"
	tarsplit "github.com/vbatts/tar-split/tar/storage"
)

// Names lists the entries of a layer's tar stream without reading the files.
func (s *Store) Names(id string) ([]string, error) {
	in, err := os.Open(s.splitPath(id))
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(id), err)
	}
	defer in.Close()
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(id), err)
	}
	var names []string
	err = asm.IterateHeaders(tarsplit.NewJSONUnpacker(unpacked), func(h *tar.Header) error {
		names = append(names, h.Name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", short(id), err)
	}
	return names, nil
}
