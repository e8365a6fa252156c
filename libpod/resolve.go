package libpod

import (
	"context"
	"errors"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/nearest"
)

const idLength = 64

// resolve finds the id that ref (a name, an id, or the start of one) names. Names win over id prefixes, as in Docker.
func (e *Engine) resolve(ref string) (string, error) {
	ref = strings.TrimPrefix(ref, "/")
	if ref == "" || strings.ContainsAny(ref, "/\x00") || ref == "." || ref == ".." {
		return "", errdefs.New(errdefs.ErrInvalid, "%q is not a container name or id", ref)
	}
	if len(ref) == idLength && e.containers.Complete(ref) {
		return ref, nil
	}
	if id, ok := e.containers.Owner(ref); ok && e.containers.Complete(id) {
		return id, nil
	}
	if !isHex(ref) {
		return "", e.unknown(ref)
	}
	ids, err := e.containers.Match(ref)
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", e.unknown(ref)
	case len(ids) > 1:
		return "", errdefs.New(errdefs.ErrAmbiguous, "container id %q is ambiguous: %s and %s start with it (give more digits)",
			ref, shortID(ids[0]), shortID(ids[1]))
	}
	return ids[0], nil
}

// unknown is the error for a reference that names no container; it suggests the nearest name.
func (e *Engine) unknown(ref string) error {
	names, _ := e.containers.AllNames()
	if near := nearest.Of(ref, names); near != "" {
		return errdefs.New(errdefs.ErrNotFound, "no container %q (did you mean %q?)", ref, near)
	}
	return errdefs.New(errdefs.ErrNotFound, "no container %q (wherry ps -a lists them)", ref)
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

// Exists tells whether ref names a container.
func (e *Engine) Exists(_ context.Context, ref string) (bool, error) {
	_, err := e.resolve(ref)
	if errors.Is(err, errdefs.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ResolveIDs turns references into ids, stopping at the first unknown one.
func (e *Engine) ResolveIDs(_ context.Context, refs ...string) ([]string, error) {
	ids := make([]string, 0, len(refs))
	for _, ref := range refs {
		id, err := e.resolve(ref)
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// onContainer runs fn on the container that ref names. Where that one is removed meanwhile ref may name another one by
// then; else the error tells that there is none.
func (e *Engine) onContainer(ref string, fn func(id string) error) error {
	last := ""
	for {
		id, err := e.resolve(ref)
		if err != nil {
			return err
		}
		err = fn(id)
		if !errors.Is(err, errdefs.ErrNotFound) || id == last {
			return err
		}
		last = id
	}
}
