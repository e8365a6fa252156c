package export

import (
	"context"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

// shown is a tree where its files can be read. Its content is hostile: it is opened by safepath only.
type shown struct {
	path  string
	close func() error
}

// root shows a tree.
func (j *job) root(ctx context.Context, t *tree.Tree) (*shown, error) {
	if t != nil && t.Dir != "" && t.View == nil && !t.RootOwned {
		return &shown{path: t.Dir, close: func() error { return nil }}, nil
	}
	stack, err := j.stack(ctx, t)
	if err != nil {
		return nil, err
	}
	m, err := j.o.Layers.Mount(ctx, stack)
	if err != nil {
		return nil, err
	}
	return &shown{path: m.Root(), close: m.Close}, nil
}

// Close gives the tree back.
func (s *shown) Close() error { return s.close() }

// Read reads a file of at most limit bytes.
func (s *shown) Read(path string, limit int64) ([]byte, error) {
	return safepath.ReadFileIn(s.path, path, limit)
}

// List lists a directory in the order of names.
func (s *shown) List(path string) ([]string, error) {
	if path == "" {
		path = "."
	}
	dir, err := safepath.OpenIn(s.path, path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
