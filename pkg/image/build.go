package image

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/containers/image/v5/transports"
	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// Storage is the open store, for a build, which makes layers itself. It is closed with the session.
func (s *Session) Storage() storage.Store { return s.store }

// Built is an image that a build has made. Its layers are in the store.
type Built struct {
	Config   []byte // the image's id is its digest
	Manifest []byte
	Top      string // uppermost layer; empty: the image has none
	Created  time.Time
	Names    []string // as users write them
}

// PutBuilt records an image and returns its id. Names that other images have move. An image of the same configuration
// that is there already gets the names.
func (s *Session) PutBuilt(ctx context.Context, b Built) (string, error) {
	names, err := builtNames(b.Names)
	if err != nil {
		return "", err
	}
	id := digest.FromBytes(b.Config).Encoded()
	err = s.names.WithImagesShared(ctx, func() error { return s.recordBuilt(id, b, names) })
	if err != nil {
		return "", explainLocal("keep the image", err)
	}
	s.note("build", id, "")
	s.noteNames("tag", id, names)
	return id, nil
}

// builtNames completes names; one with a digest says of which manifest it is.
func builtNames(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		complete := normalizeTag
		if strings.Contains(name, "@") {
			complete = Normalize
		}
		named, err := complete(name)
		if err != nil {
			return nil, err
		}
		out = append(out, named.String())
	}
	return out, nil
}

func (s *Session) recordBuilt(id string, b Built, names []string) error {
	manifestDigest := digest.FromBytes(b.Manifest)
	data := []storage.ImageBigDataOption{
		{Key: "sha256:" + id, Data: b.Config, Digest: digest.FromBytes(b.Config)},
		{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + manifestDigest.String(), Data: b.Manifest, Digest: manifestDigest},
		{Key: storage.ImageDigestBigDataKey, Data: b.Manifest, Digest: manifestDigest},
	}
	_, err := s.store.CreateImage(id, nil, b.Top, "", &storage.ImageOptions{CreationDate: b.Created, Digest: manifestDigest, BigData: data})
	if errors.Is(err, storage.ErrDuplicateID) {
		err = s.renewBuilt(id, data)
	}
	if err != nil {
		return err
	}
	faultpoint.Hit("build.image")
	if len(names) == 0 {
		return nil
	}
	return s.store.AddNames(id, names) // a name that another image has moves
}

// renewBuilt gives an image that is there already the new manifest, unless it has it.
func (s *Session) renewBuilt(id string, data []storage.ImageBigDataOption) error {
	img, err := s.store.Image(id)
	if err != nil {
		return err
	}
	for _, item := range data {
		if slices.Contains(img.BigDataNames, item.Key) && img.BigDataDigests[item.Key] == item.Digest {
			continue
		}
		same := func([]byte) (digest.Digest, error) { return item.Digest, nil }
		if err := s.store.SetImageBigData(id, item.Key, item.Data, same); err != nil {
			return err
		}
	}
	return nil
}

// instancesKey is where containers/common keeps where the images are that a list names.
const instancesKey = "instances.json"

// BuiltList is a list of images for several platforms. They are in the store.
type BuiltList struct {
	Manifest []byte
	Images   map[digest.Digest]string // ids by the digests of their manifests
	Created  time.Time
	Names    []string
}

// PutList records a list of images, as Podman's manifest commands keep it: an image without layers.
func (s *Session) PutList(ctx context.Context, l BuiltList) (string, error) {
	names, err := builtNames(l.Names)
	if err != nil {
		return "", err
	}
	places := map[digest.Digest]string{}
	for d, id := range l.Images {
		ref, err := s.storageRef(id)
		if err != nil {
			return "", err
		}
		places[d] = transports.ImageName(ref)
	}
	instances, err := json.Marshal(places)
	if err != nil {
		return "", err
	}
	d := digest.FromBytes(l.Manifest)
	id := d.Encoded()
	data := []storage.ImageBigDataOption{
		{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + d.String(), Data: l.Manifest, Digest: d},
		{Key: storage.ImageDigestBigDataKey, Data: l.Manifest, Digest: d},
		{Key: instancesKey, Data: instances, Digest: digest.FromBytes(instances)},
	}
	err = s.names.WithImagesShared(ctx, func() error {
		_, err := s.store.CreateImage(id, nil, "", "", &storage.ImageOptions{CreationDate: l.Created, Digest: d, BigData: data})
		if errors.Is(err, storage.ErrDuplicateID) {
			err = s.renewBuilt(id, data)
		}
		if err != nil || len(names) == 0 {
			return err
		}
		return s.store.AddNames(id, names)
	})
	if err != nil {
		return "", explainLocal("keep the list of images", err)
	}
	s.noteNames("tag", id, names)
	return id, nil
}
