package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // go-digest looks the hash up by name
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeLayout writes an OCI layout with one image of that many random gzip layers of size bytes.
func writeLayout(dir string, count, size int) error {
	blobs := filepath.Join(dir, "blobs/sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	put := func(mediaType string, data []byte) (v1.Descriptor, error) {
		sum := digest.FromBytes(data)
		return v1.Descriptor{MediaType: mediaType, Digest: sum, Size: int64(len(data))},
			os.WriteFile(filepath.Join(blobs, sum.Encoded()), data, 0o644)
	}
	putJSON := func(mediaType string, value any) (v1.Descriptor, error) {
		data, err := json.Marshal(value)
		if err != nil {
			return v1.Descriptor{}, err
		}
		return put(mediaType, data)
	}
	var layers []v1.Descriptor
	config := v1.Image{Platform: v1.Platform{Architecture: "amd64", OS: "linux"}, RootFS: v1.RootFS{Type: "layers"}}
	for i := range count {
		plain, packed, err := randomLayer(fmt.Sprintf("data%d", i), size)
		if err != nil {
			return err
		}
		layer, err := put(v1.MediaTypeImageLayerGzip, packed)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
	}
	conf, err := putJSON(v1.MediaTypeImageConfig, config)
	if err != nil {
		return err
	}
	manifest, err := putJSON(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Config: conf, Layers: layers,
	})
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{v1.AnnotationRefName: "latest"}
	index, err := json.Marshal(v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{manifest}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, v1.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, v1.ImageIndexFile), index, 0o644)
}

// randomLayer is a tar with one incompressible file, plain and gzipped.
func randomLayer(name string, size int) (plain, packed []byte, err error) {
	var tarred, zipped bytes.Buffer
	data := randomBytes(size)
	w := tar.NewWriter(&tarred)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return nil, nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	if err != nil {
		return nil, nil, err
	}
	if _, err := z.Write(tarred.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := z.Close(); err != nil {
		return nil, nil, err
	}
	return tarred.Bytes(), zipped.Bytes(), nil
}
