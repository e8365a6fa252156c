package image

import (
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/shortnames"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Normalize completes a name as Docker does: busybox is docker.io/library/busybox:latest. A tag beside a digest is
// dropped, the digest says it all.
func Normalize(name string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, invalidName(name)
	}
	if digested, ok := named.(reference.Canonical); ok {
		return reference.WithDigest(reference.TrimNamed(named), digested.Digest())
	}
	return reference.TagNameOnly(named), nil
}

// normalizeTag is Normalize for a name that an image is to get: a digest is no such name.
func normalizeTag(name string) (reference.Named, error) {
	named, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	if _, ok := named.(reference.Digested); ok {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid name %q: an image is named by a tag, not by a digest", name)
	}
	return named, nil
}

func invalidName(name string) error {
	lower := strings.ToLower(name)
	if _, lowerErr := reference.ParseNormalizedNamed(lower); lowerErr == nil && lower != name {
		return errdefs.New(errdefs.ErrInvalid, "invalid reference %q: the repository name must be in lower case (try %q)", name, lower)
	}
	return errdefs.New(errdefs.ErrInvalid, "invalid reference %q: want [HOST[:PORT]/]NAME[:TAG][@DIGEST]", name)
}

// candidate is one place that a name may be pulled from.
type candidate struct {
	name   reference.Named
	record func() error // keeps the user's choice of a short name
}

// candidates resolves a name through the aliases and search registries of registries.conf; without any it means
// docker.io, as in Docker.
func candidates(sys *types.SystemContext, name string) ([]candidate, error) {
	normal, err := Normalize(name)
	if err != nil {
		return nil, err
	}
	if isQualified(name) || !needsResolving(sys, normal) {
		return []candidate{{name: normal}}, nil
	}
	short := name // as typed: an alias may be for library/x
	if _, digested := normal.(reference.Digested); digested {
		short = reference.FamiliarString(normal)
	}
	resolved, err := shortnames.Resolve(sys, short)
	if err != nil {
		return nil, err
	}
	var out []candidate
	for i := range resolved.PullCandidates {
		c := &resolved.PullCandidates[i]
		out = append(out, candidate{name: reference.TagNameOnly(c.Value), record: c.Record})
	}
	return out, nil
}

func hasTag(name string) bool {
	return strings.LastIndex(name, ":") > strings.LastIndex(name, "/")
}

// isQualified says whether the name begins with a registry.
func isQualified(name string) bool {
	host, _, found := strings.Cut(name, "/")
	return found && (strings.ContainsAny(host, ".:") || host == "localhost")
}

// needsResolving says whether registries.conf has anything to say about a short name.
func needsResolving(sys *types.SystemContext, normal reference.Named) bool {
	if search, err := sysregistriesv2.UnqualifiedSearchRegistries(sys); err != nil || len(search) > 0 {
		return true
	}
	alias, _, err := sysregistriesv2.ResolveShortNameAlias(sys, reference.FamiliarName(normal))
	return err != nil || alias != nil
}

// TagName is the full name that an image is to get: with the registry and a tag.
func TagName(name string) (string, error) {
	named, err := normalizeTag(name)
	if err != nil {
		return "", err
	}
	return reference.TagNameOnly(named).String(), nil
}
