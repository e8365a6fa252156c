package export

import (
	"maps"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// annotations are what is written on an index, on manifests, and where these are named.
type annotations map[string]map[string]string // by the kind of place

// annotationsGroup holds them by platform; "" is for all.
type annotationsGroup map[string]annotations

func (g annotationsGroup) add(key exptypes.AnnotationKey, value string) annotationsGroup {
	if g == nil {
		g = annotationsGroup{}
	}
	at := key.PlatformString()
	if g[at] == nil {
		g[at] = annotations{}
	}
	if g[at][key.Type] == nil {
		g[at][key.Type] = map[string]string{}
	}
	g[at][key.Type][key.Key] = value
	return g
}

// withMetadata adds those that the frontend asks for.
func (g annotationsGroup) withMetadata(metadata map[string][]byte) (annotationsGroup, error) {
	merged := annotationsGroup{}
	for at, a := range g {
		merged[at] = annotations{}
		for kind, values := range a {
			merged[at][kind] = maps.Clone(values)
		}
	}
	for name, value := range metadata {
		key, is, err := exptypes.ParseAnnotationKey(name)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "annotation %s: %v", name, err)
		}
		if is {
			merged = merged.add(key, string(value))
		}
	}
	return merged, nil
}

// of returns those of a place; an index has those of all platforms.
func (g annotationsGroup) of(kind string, p *ocispecs.Platform) map[string]string {
	out := map[string]string{}
	if kind == exptypes.AnnotationIndex || kind == exptypes.AnnotationIndexDescriptor {
		for _, a := range g {
			maps.Copy(out, a[kind])
		}
	} else {
		maps.Copy(out, g[""][kind])
		if p != nil {
			maps.Copy(out, g[platforms.FormatAll(*p)][kind])
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// check compares them with what is built.
func (g annotationsGroup) check(r *Result, oci bool) error {
	for at, a := range g {
		if _, ok := r.FindRef(at); at != "" && !ok {
			return errdefs.New(errdefs.ErrInvalid, "annotation: platform %s is not built", at)
		}
		if !oci && len(a[exptypes.AnnotationIndex])+len(a[exptypes.AnnotationIndexDescriptor])+len(a[exptypes.AnnotationManifestDescriptor]) > 0 {
			return errdefs.New(errdefs.ErrInvalid, `annotations of an index or of descriptors conflict with "oci-mediatypes=false"`)
		}
	}
	return nil
}
