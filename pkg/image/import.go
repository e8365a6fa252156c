package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/storage"
	"github.com/containers/storage/pkg/archive"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// Import makes an image of one layer from the tar of a root file system (a file, - or a URL; compressed or not) and
// returns its id. name may be empty.
func (s *Session) Import(ctx context.Context, source, name string, opts option.Import) (string, error) {
	config, err := importConfig(source, opts)
	if err != nil {
		return "", err
	}
	var names []string
	if name != "" {
		named, err := normalizeTag(name)
		if err != nil {
			return "", err
		}
		names = []string{named.String()}
	}
	path, err := s.fetch(ctx, source, opts.Quiet)
	if err != nil {
		return "", explainLocal("import "+source, err)
	}
	var id string
	err = unlessRemoved(ctx, func() error {
		layer, err := s.importLayer(path)
		if err != nil {
			return err
		}
		faultpoint.Hit("image.import.layer")
		config.RootFS.DiffIDs = []string{layer.UncompressedDigest.String()}
		id, err = s.createImage(config, layer, names)
		return err
	})
	if err == nil {
		s.note("import", id, strings.Join(names, ","))
	}
	if errors.As(err, new(*errdefs.Kinded)) { // tells what is wrong, not with what
		err = fmt.Errorf("import %s: %w", source, err)
	}
	return id, explainLocal("import "+source, err)
}

// importConfig is the configuration without its layer.
func importConfig(source string, opts option.Import) (store.Config, error) {
	now := time.Now().UTC()
	platform := opts.Platform.Normal()
	config := store.Config{Created: &now, OS: platform.OS, Architecture: platform.Arch, Variant: platform.Variant}
	if config.OS == "" {
		config.OS = "linux"
	}
	if config.Architecture == "" {
		config.Architecture = runtime.GOARCH
	}
	message := opts.Message
	if message == "" {
		message = "Imported from " + source
	}
	config.Comment = message
	config.History = []store.History{{Created: &now, Comment: message}}
	config.RootFS.Type = "layers"
	for _, change := range opts.Changes {
		if err := ApplyChange(&config.Config, change); err != nil {
			return config, err
		}
	}
	return config, nil
}

// fetch makes a file of the source.
func (s *Session) fetch(ctx context.Context, source string, quiet bool) (string, error) {
	switch {
	case source == "-":
		return s.spool(s.cfg.In)
	case isURL(source):
		report(s.cfg.Err, quiet, "Downloading %s\n", source)
		return s.download(ctx, source)
	}
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", errdefs.New(errdefs.ErrInvalid, "%s is a directory (make a tar of it: tar -C %s -c . | wherry import -)", source, source)
	case !info.Mode().IsRegular():
		f, err := os.Open(source)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return s.spool(f)
	}
	return source, nil
}

func (s *Session) download(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server answers %s", answer.Status)
	}
	return s.spool(answer.Body)
}

// importLayer stores the tar as a base layer under the id that a pull of the same content would give it, so that
// the two share it. The tar is read twice, because the id is the digest of what is in it.
func (s *Session) importLayer(path string) (*storage.Layer, error) {
	diffID, err := digestTar(path)
	if err != nil {
		return nil, err
	}
	if layer, err := s.store.Layer(diffID.Encoded()); err == nil {
		return layer, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	layer, _, err := s.store.PutLayer(diffID.Encoded(), "", nil, "", false, nil, f)
	if errors.Is(err, storage.ErrDuplicateID) {
		return s.store.Layer(diffID.Encoded()) // another import was faster
	}
	if err != nil {
		return nil, err
	}
	if layer.UncompressedDigest != diffID {
		return nil, errors.Join(errors.New("the file changed while it was read"), s.store.DeleteLayer(layer.ID))
	}
	return layer, nil
}

// digestTar is the digest of the unpacked content; it also makes sure that it is a tar.
func digestTar(path string) (digest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if !archive.IsArchivePath(path) {
		return "", errdefs.New(errdefs.ErrInvalid, "this is no tar archive")
	}
	plain, err := archive.DecompressStream(f)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	digester := digest.Canonical.Digester()
	if _, err := io.Copy(digester.Hash(), plain); err != nil {
		return "", err
	}
	return digester.Digest(), nil
}

// createImage records an image of one layer. Its id is the digest of its configuration.
func (s *Session) createImage(config store.Config, layer *storage.Layer, names []string) (string, error) {
	configJSON, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	return s.recordImage(config, configJSON, imgspec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: imgspec.MediaTypeImageManifest,
		Config:    imgspec.Descriptor{MediaType: imgspec.MediaTypeImageConfig, Digest: digest.FromBytes(configJSON), Size: int64(len(configJSON))},
		Layers:    []imgspec.Descriptor{{MediaType: imgspec.MediaTypeImageLayer, Digest: layer.UncompressedDigest, Size: layer.UncompressedSize}},
	}, layer.ID, names, "image.import.created")
}

// recordImage records an image whose uppermost layer is top. Its id is the digest of its configuration, which m names.
func (s *Session) recordImage(config store.Config, configJSON []byte, m imgspec.Manifest, top string, names []string, step string) (string, error) {
	manifestJSON, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	configDigest, manifestDigest := m.Config.Digest, digest.FromBytes(manifestJSON)
	img, err := s.store.CreateImage(configDigest.Encoded(), nil, top, "", &storage.ImageOptions{
		CreationDate: *config.Created,
		Digest:       manifestDigest,
		BigData: []storage.ImageBigDataOption{
			{Key: configDigest.String(), Data: configJSON, Digest: configDigest},
			{Key: storage.ImageDigestManifestBigDataNamePrefix + "-" + manifestDigest.String(), Data: manifestJSON, Digest: manifestDigest},
			{Key: storage.ImageDigestBigDataKey, Data: manifestJSON, Digest: manifestDigest},
		},
	})
	if err != nil {
		return "", err
	}
	faultpoint.Hit(step)
	if len(names) == 0 {
		return img.ID, nil
	}
	// A name that another image has moves; at creation it would be refused.
	return img.ID, s.store.AddNames(img.ID, names)
}

// familiar is a stored name as users write it.
func familiar(name string) string {
	if named := mustNamed(name); named != nil {
		return reference.FamiliarString(named)
	}
	return name
}
