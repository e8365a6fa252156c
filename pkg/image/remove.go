package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/storage"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/list"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/rootfs"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Exit statuses of rmi, Podman's.
const (
	exitNoImage    = 1
	exitImageInUse = 2
)

// Remove takes a name away from an image, and the image with its last one. What happened is written to Out, a line
// each. An image that a container stands on stays.
func (s *Session) Remove(ctx context.Context, name string, opts option.Remove) error {
	err := s.names.WithImagesExclusive(ctx, func() error { return s.removeLocked(ctx, name, opts) })
	switch {
	case errors.Is(err, errdefs.ErrNotFound) && (opts.Ignore || opts.Force): // rm -f has nothing to complain of
		return nil
	case errors.Is(err, errdefs.ErrNotFound):
		return &errdefs.ExitError{Code: exitNoImage, Err: err}
	case errors.Is(err, errdefs.ErrInUse):
		return &errdefs.ExitError{Code: exitImageInUse, Err: err}
	}
	return explainLocal("remove image "+name, err)
}

// RemoveAll removes every image of the store, each with all its names, and goes on over those that are in use.
func (s *Session) RemoveAll(ctx context.Context, opts option.Remove) error {
	images, err := s.names.Images(ctx)
	if err != nil {
		return err
	}
	opts.Ignore = true
	var faults []error
	for i := range images {
		img := &images[i]
		if img.ReadOnly {
			continue
		}
		err := s.names.WithImagesExclusive(ctx, func() error { return s.delete(ctx, img, img.ID[:12], opts) })
		if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
			faults = append(faults, err)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return &errdefs.ExitError{Code: exitImageInUse, Err: joinFaults(faults)}
}

func (s *Session) removeLocked(ctx context.Context, name string, opts option.Remove) error {
	img, err := s.lookupToRemove(ctx, name)
	if err != nil {
		return err
	}
	if img.ReadOnly {
		return errReadOnly(name, img.Graph)
	}
	byName := img.Ref != "" && slices.Contains(img.Names, img.Ref)
	switch {
	case byName && !isLastName(img.Names, img.Ref):
		return s.untag(img.ID, []string{img.Ref})
	case byName:
	case len(img.Names) > 1 && !opts.Force:
		return errdefs.New(errdefs.ErrInUse, "image %s has several names (%s): remove them by name, or use --force", name, familiarList(img.Names))
	}
	return s.delete(ctx, img, name, opts)
}

// isLastName says whether an image has no name but ref, apart from ref's repository with a digest: with the last tag
// that goes, too.
func isLastName(names []string, ref string) bool {
	repository := list.ParseName(ref).Repository
	return !slices.ContainsFunc(names, func(other string) bool {
		n := list.ParseName(other)
		return other != ref && (n.Tag != "" || n.Repository != repository)
	})
}

// lookupToRemove also finds an image that is broken.
func (s *Session) lookupToRemove(ctx context.Context, name string) (*store.Image, error) {
	img, err := s.lookup(ctx, name)
	if err == nil {
		return asRecord(img), nil
	}
	if errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, errdefs.ErrAmbiguous) || errors.Is(err, errdefs.ErrInvalid) {
		return img, err
	}
	stored, serr := s.store.Image(strings.TrimPrefix(name, "sha256:"))
	if named, nerr := Normalize(name); serr != nil && nerr == nil {
		stored, serr = s.store.Image(named.String())
	}
	if serr != nil {
		return nil, err
	}
	return &store.Image{ID: stored.ID, Names: stored.Names, ReadOnly: stored.ReadOnly, IsList: stored.TopLayer == "", Graph: s.cfg.Dirs.Graph()}, nil
}

// delete removes the image and all its names unless a container stands on it. The exclusive lock on images is held.
func (s *Session) delete(ctx context.Context, img *store.Image, name string, opts option.Remove) error {
	users, err := Users(s.cfg.Dirs)
	if err != nil {
		return err
	}
	mine := usersOf(users, img.ID)
	if at := slices.IndexFunc(mine, func(u User) bool { return u.Running }); at >= 0 {
		return errdefs.New(errdefs.ErrInUse, "image %s is in use by running container %s (stop and remove the container first)", name, mine[at])
	}
	if len(mine) > 0 && !opts.Force {
		return errdefs.New(errdefs.ErrInUse, "image %s is in use by container %s (remove the container, or use --force)", name, mine[0])
	}
	if len(mine) > 0 {
		// The container's root file system stands on the layers: only the names can go.
		fmt.Fprintf(s.cfg.Err, "Image %s stays without a name until container %s is removed\n", img.ID[:12], mine[0])
		return s.untag(img.ID, img.Names)
	}
	if s.mounted(img.ID) {
		return errMounted(name)
	}
	listed := s.digestsIn(img)
	if err := s.deleteStored(ctx, img); err != nil {
		return err
	}
	if opts.NoPrune {
		return nil
	}
	if img.IsList {
		return s.deleteListed(ctx, users, listed)
	}
	return s.deleteParents(ctx, img, users)
}

func (s *Session) untag(id string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := s.store.RemoveNames(id, names); err != nil {
		return err
	}
	faultpoint.Hit("image.untagged")
	s.noteNames("untag", id, names)
	s.reportUntagged(names)
	return nil
}

func (s *Session) reportUntagged(names []string) {
	for _, name := range names {
		s.tellRemoved(Removed{Untagged: familiar(name)})
	}
}

// deleteStored deletes the image and those of its layers that nothing else needs.
func (s *Session) deleteStored(ctx context.Context, img *store.Image) error {
	err := s.deleteImage(img)
	if err != nil && !errors.Is(err, storage.ErrLayerUnknown) && !errors.Is(err, storage.ErrNotAnImage) {
		if errors.Is(err, storage.ErrImageUnknown) {
			return errdefs.New(errdefs.ErrNotFound, "image %s was removed by another program", img.ID[:12])
		}
		return err
	}
	faultpoint.Hit("image.deleted")
	s.noteNames("untag", img.ID, img.Names)
	s.note("delete", img.ID, "")
	s.reportUntagged(img.Names)
	s.tellRemoved(Removed{Deleted: "sha256:" + img.ID})
	return s.removeMapped(ctx, img)
}

// removeMapped removes the copies for other id mappings, unless another image has the same top layer.
func (s *Session) removeMapped(ctx context.Context, img *store.Image) error {
	if img.TopLayer() == "" {
		return nil
	}
	if _, err := s.store.Layer(img.TopLayer()); err == nil {
		return nil
	}
	return rootfs.RemoveMapped(ctx, s.cfg.Dirs, img.TopLayer())
}

// deleteParents removes the nameless images that the deleted one was built on and nothing else needs.
func (s *Session) deleteParents(ctx context.Context, child *store.Image, users []User) error {
	if len(child.Layers) == 0 {
		return nil
	}
	images, err := s.names.Images(ctx)
	if err != nil {
		return err
	}
	for i := range images {
		p := &images[i]
		if len(p.Names) > 0 || p.ReadOnly || len(usersOf(users, p.ID)) > 0 || s.mounted(p.ID) || p.TopLayer() == "" ||
			!slices.Contains(child.Layers[1:], p.TopLayer()) || hasChild(images, p) {
			continue
		}
		if err := s.deleteStored(ctx, p); err != nil {
			return err
		}
		return s.deleteParents(ctx, p, users)
	}
	return nil
}

// hasChild says whether another image stands on top of p's layers.
func hasChild(images []store.Image, p *store.Image) bool {
	return slices.ContainsFunc(images, func(c store.Image) bool {
		return c.ID != p.ID && len(c.Layers) > 1 && slices.Contains(c.Layers[1:], p.TopLayer())
	})
}

func familiarList(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = familiar(n)
	}
	return strings.Join(out, ", ")
}
