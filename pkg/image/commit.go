package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containers/image/v5/manifest"
	"github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/store"
)

// NewLayer is what Commit makes an image of.
type NewLayer struct {
	Config  store.Config // of the image below, with the container's settings
	Parent  string       // id of the topmost layer below; empty: the new one stands alone
	Command string       // for the history
	Write   func(ctx context.Context, out io.Writer) error
	Empty   bool // there is nothing to write
}

// CheckCommit finds what is wrong with the options before a container is paused for them.
func CheckCommit(name string, opts option.Commit) error {
	if name != "" {
		if _, err := normalizeTag(name); err != nil {
			return err
		}
	}
	_, err := commitConfig(NewLayer{}, opts)
	return err
}

// Commit makes an image with one more layer, or with one only, and returns its id. name may be empty.
func (s *Session) Commit(ctx context.Context, l NewLayer, name string, opts option.Commit) (string, error) {
	var names []string
	if name != "" {
		named, err := normalizeTag(name)
		if err != nil {
			return "", err
		}
		names = []string{named.String()}
	}
	config, err := commitConfig(l, opts)
	if err != nil {
		return "", err
	}
	top := l.Parent
	if !l.Empty || top == "" {
		layer, err := s.writeLayer(ctx, l)
		if err != nil {
			return "", explainLocal("commit", err)
		}
		top = layer.ID
		faultpoint.Hit("image.commit.layer")
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.UncompressedDigest.String())
	}
	id, err := s.createCommitted(config, top, names, opts.Format == "docker")
	if err != nil && top != l.Parent {
		err = errors.Join(err, s.store.DeleteLayer(top))
	}
	return id, explainLocal("commit", err)
}

// commitConfig is the configuration without the new layer.
func commitConfig(l NewLayer, opts option.Commit) (store.Config, error) {
	now := time.Now().UTC()
	config := l.Config
	config.Created, config.Comment = &now, opts.Message
	if opts.Author != "" {
		config.Author = opts.Author
	}
	if l.Parent == "" {
		config.RootFS.DiffIDs, config.History = nil, nil
	}
	config.RootFS.Type = "layers"
	config.History = append(config.History, store.History{Created: &now, CreatedBy: l.Command, Author: opts.Author,
		Comment: opts.Message, EmptyLayer: l.Empty && l.Parent != ""})
	if opts.Config != "" {
		if err := mergeConfig(&config.Config, opts.Config); err != nil {
			return config, err
		}
	}
	for _, change := range opts.Changes {
		if err := ApplyChange(&config.Config, change); err != nil {
			return config, err
		}
	}
	return config, nil
}

// mergeConfig sets what a file of Docker's image configuration, or JSON itself, says. Variables, labels, ports and volumes
// are added to those there.
func mergeConfig(config *store.ProcessConfig, source string) error {
	data := []byte(source)
	if !strings.HasPrefix(strings.TrimSpace(source), "{") {
		var err error
		if data, err = os.ReadFile(source); err != nil {
			return errdefs.New(errdefs.ErrInvalid, "--config: %v", err)
		}
	}
	env := config.Env
	config.Env = nil
	if err := json.Unmarshal(data, config); err != nil {
		return errdefs.New(errdefs.ErrInvalid, "--config %s: %v", source, err)
	}
	for _, variable := range config.Env {
		key, value, _ := strings.Cut(variable, "=")
		env = setEnv(env, key, value)
	}
	config.Env = env
	return nil
}

// writeLayer streams the layer into the store, which flags it as incomplete until it is whole. The files are read once.
func (s *Session) writeLayer(ctx context.Context, l NewLayer) (*storage.Layer, error) {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := l.Write(ctx, w)
		w.CloseWithError(err)
		written <- err
	}()
	layer, _, err := s.store.PutLayer("", l.Parent, nil, "", false, nil, r)
	r.CloseWithError(errors.New("the store does not take more")) // lets the writer end
	writeErr := <-written
	switch {
	case err != nil && writeErr != nil && !errors.Is(err, writeErr):
		return nil, err // why the store took no more
	case writeErr != nil:
		if err == nil {
			err = s.store.DeleteLayer(layer.ID)
		}
		return nil, errors.Join(writeErr, ignoreSame(err, writeErr))
	}
	return layer, err
}

func ignoreSame(err, other error) error {
	if errors.Is(err, other) {
		return nil
	}
	return err
}

// createCommitted records the image. The layers' digests are those of their unpacked content.
func (s *Session) createCommitted(config store.Config, top string, names []string, docker bool) (string, error) {
	configJSON, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	configDigest := digest.FromBytes(configJSON)
	layers, err := s.descriptors(config.RootFS.DiffIDs, top)
	if err != nil {
		return "", err
	}
	m := imgspec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imgspec.MediaTypeImageManifest, Layers: layers,
		Config: imgspec.Descriptor{MediaType: imgspec.MediaTypeImageConfig, Digest: configDigest, Size: int64(len(configJSON))},
	}
	if docker {
		m.MediaType, m.Config.MediaType = manifest.DockerV2Schema2MediaType, manifest.DockerV2Schema2ConfigMediaType
		for i := range m.Layers {
			m.Layers[i].MediaType = manifest.DockerV2SchemaLayerMediaTypeUncompressed
		}
	}
	return s.recordImage(config, configJSON, m, top, names, "image.commit.created")
}

// descriptors describe the chain of layers that ends with top, bottom first.
func (s *Session) descriptors(diffIDs []string, top string) ([]imgspec.Descriptor, error) {
	var list []imgspec.Descriptor
	for id := top; id != ""; {
		layer, err := s.store.Layer(id)
		if err != nil {
			return nil, err
		}
		list = append(list, imgspec.Descriptor{MediaType: imgspec.MediaTypeImageLayer, Digest: layer.UncompressedDigest, Size: layer.UncompressedSize})
		id = layer.Parent
	}
	slices.Reverse(list)
	if len(list) != len(diffIDs) {
		return nil, errdefs.New(errdefs.ErrBroken, "the image below has %d layers but names %d (pull it again)", len(list), len(diffIDs))
	}
	for i := range list {
		list[i].Digest = digest.Digest(diffIDs[i])
		if err := list[i].Digest.Validate(); err != nil {
			return nil, fmt.Errorf("layer %d of the image below: %w", i, err)
		}
	}
	return list, nil
}
