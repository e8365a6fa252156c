package image

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Pull brings an image into the store, from a registry or from the transport that the name begins with, and returns
// the ids of what it brought or found.
func (s *Session) Pull(ctx context.Context, name string, opts option.Pull) ([]string, error) {
	if err := checkPolicy(opts.Policy); err != nil {
		return nil, err
	}
	ref, err := parseTransport(name)
	if err != nil {
		return nil, err
	}
	if ref != nil {
		if opts.AllTags {
			return nil, errdefs.New(errdefs.ErrInvalid, "--all-tags is for images of a registry, not for %s", name)
		}
		ids, err := s.fromTransport(ctx, ref, opts.Quiet)
		for _, id := range ids {
			s.note("pull", id, "")
		}
		return ids, err
	}
	name = strings.TrimPrefix(name, registryPrefix)
	if opts.AllTags {
		return s.pullAllTags(ctx, name, opts)
	}
	id, err := s.pullOne(ctx, name, opts)
	if err != nil {
		return nil, err
	}
	return []string{id}, nil
}

func checkPolicy(policy string) error {
	switch policy {
	case "", option.PullAlways, option.PullMissing, option.PullNever, option.PullNewer:
		return nil
	}
	return errdefs.New(errdefs.ErrInvalid, "invalid --policy %q: want always, missing, never or newer", policy)
}

// pullOne pulls one name from the first of its candidates that has it.
func (s *Session) pullOne(ctx context.Context, name string, opts option.Pull) (string, error) {
	local, err := s.findLocal(ctx, name, opts)
	if err != nil {
		return "", err
	}
	if local != nil && opts.Policy != option.PullNewer {
		return local.ID, nil
	}
	sys, err := s.registryContext(name, opts.Options, opts.Platform)
	if err != nil {
		return "", err
	}
	list, err := candidates(sys, name)
	if err != nil {
		return "", joinLines(err)
	}
	var faults []error
	for _, c := range list {
		id, err := s.pullCandidate(ctx, sys, c, local, opts)
		if err == nil {
			return id, nil
		}
		faults = append(faults, err)
		if ctx.Err() != nil {
			break
		}
	}
	if local != nil {
		report(s.cfg.Err, opts.Quiet, "Keeping the image that is here: %v\n", joinLines(errors.Join(faults...)))
		return local.ID, nil
	}
	return "", joinFaults(faults)
}

// joinFaults keeps a single error as it is and puts several into one line.
func joinFaults(faults []error) error {
	if len(faults) == 1 {
		return faults[0]
	}
	return joinLines(errors.Join(faults...))
}

// findLocal is the image that is here already, if the policy cares.
func (s *Session) findLocal(ctx context.Context, name string, opts option.Pull) (*store.Image, error) {
	if opts.Policy == "" || opts.Policy == option.PullAlways {
		return nil, nil
	}
	img, err := s.lookup(ctx, name)
	switch {
	case err == nil && opts.Platform.Matches(img.Config.OS, img.Config.Architecture, img.Config.Variant):
		return img, nil
	case opts.Policy != option.PullNever:
		return nil, nil
	case err == nil:
		return nil, errdefs.New(errdefs.ErrNotFound, "image %q is here for %s/%s only (pull the other with --policy missing)", name, img.Config.OS, img.Config.Architecture)
	}
	return nil, err
}

func (s *Session) pullCandidate(ctx context.Context, sys *types.SystemContext, c candidate, local *store.Image, opts option.Pull) (string, error) {
	src, err := docker.NewReference(c.name)
	if err != nil {
		return "", err
	}
	if local != nil && s.isCurrent(ctx, sys, src, local) {
		return local.ID, nil
	}
	report(s.cfg.Err, opts.Quiet, "Trying to pull %s...\n", c.name)
	if err := s.checkPlatform(ctx, sys, src, opts.Platform); err != nil {
		return "", explainRegistry("pull", err, c.name)
	}
	dst, err := istorage.Transport.NewStoreReference(s.store, c.name, "")
	if err != nil {
		return "", err
	}
	keys, err := decryptor(opts.DecryptionKeys)
	if err != nil {
		return "", err
	}
	faultpoint.Hit("image.pull.start")
	id, err := s.intoStore(ctx, transfer{src: src, dst: dst, retry: opts.Retry, quiet: opts.Quiet,
		options: copy.Options{SourceCtx: sys, DestinationCtx: sys, OciDecryptConfig: keys}})
	if err != nil {
		if keys == nil && !registry.Refused(err) && isEncrypted(ctx, sys, src) {
			return "", errdefs.New(errdefs.ErrInvalid, "image %s is encrypted (give the key with --decryption-key FILE)", c.name)
		}
		return "", explainRegistry("pull", s.namePlatforms(ctx, sys, src, err), c.name)
	}
	s.note("pull", id, c.name.String())
	if c.record != nil {
		if err := c.record(); err != nil {
			fmt.Fprintf(s.cfg.Err, "Warning: the short name is not remembered: %v\n", joinLines(err))
		}
	}
	return id, nil
}

// isCurrent says whether the registry still has what is here.
func (s *Session) isCurrent(ctx context.Context, sys *types.SystemContext, src types.ImageReference, local *store.Image) bool {
	digest, err := docker.GetDigest(ctx, sys, src)
	if err != nil {
		return false
	}
	for _, have := range local.Digests {
		if have == digest.String() {
			return true
		}
	}
	return false
}

func (s *Session) pullAllTags(ctx context.Context, name string, opts option.Pull) ([]string, error) {
	sys, err := s.registryContext(name, opts.Options, opts.Platform)
	if err != nil {
		return nil, err
	}
	if hasTag(name) || strings.Contains(name, "@") {
		return nil, errdefs.New(errdefs.ErrInvalid, "--all-tags and a tag in %q exclude each other", name)
	}
	list, err := candidates(sys, name)
	if err != nil {
		return nil, joinLines(err)
	}
	repo := reference.TrimNamed(list[0].name)
	tags, err := registry.Tags(ctx, sys, repo)
	if err != nil {
		return nil, err
	}
	var ids []string
	opts.AllTags = false
	for _, tag := range tags {
		tagged, err := reference.WithTag(repo, tag)
		if err != nil {
			return ids, err
		}
		id, err := s.pullOne(ctx, tagged.String(), opts)
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
