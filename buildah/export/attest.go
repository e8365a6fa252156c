//lint:file-ignore SA1019 statements are written as BuildKit writes them, in the first form of in-toto

package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	intoto "github.com/in-toto/in-toto-golang/in_toto"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/util/attestation"
	"github.com/moby/buildkit/util/purl"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/package-url/packageurl-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// nowhere is the platform of what is no image.
var nowhere = ocispecs.Platform{Architecture: "unknown", OS: "unknown"}

// artifactType is BuildKit's, of a manifest with attestations.
const artifactType = "application/vnd.docker.attestation.manifest.v1+json"

// maxAttestation bounds what is read of one.
const maxAttestation = 80 << 20

// attestations are those of a target that are to be written; some only go inline with an image.
func (j *job) attestations(id string) []Attestation {
	list := slices.Clone(j.Result.Attestations[id])
	if j.settings.inlineAttest {
		return list
	}
	return slices.DeleteFunc(list, func(a Attestation) bool {
		return string(a.Metadata[result.AttestationInlineOnlyKey]) == "true"
	})
}

// attest writes the manifest that says things of an image.
func (j *job) attest(ctx context.Context, a *assembled, t target, b *built) ([]ocispecs.Descriptor, error) {
	list := j.attestations(t.id)
	if len(list) == 0 {
		return nil, nil
	}
	if !j.oci() {
		return nil, errdefs.New(errdefs.ErrInvalid, `attestations conflict with "oci-mediatypes=false" (add --provenance=false --sbom=false)`)
	}
	var subjects []intoto.Subject
	for _, name := range j.settings.names {
		url, err := purl.RefToPURL(packageurl.TypeDocker, name, b.platform)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, intoto.Subject{Name: url, Digest: result.ToDigestMap(b.desc.Digest)})
	}
	statements, err := j.statements(ctx, list, subjects, b)
	if err != nil {
		return nil, err
	}
	var desc ocispecs.Descriptor
	err = j.step(ctx, "exporting attestation manifest", func() error {
		desc, err = j.attestationManifest(a, b.desc, statements)
		return err
	})
	return []ocispecs.Descriptor{desc}, err
}

// statement is an attestation and the name of its file.
type statement struct {
	name string
	intoto.Statement
}

// statements reads what is to be said, the main list of parts first. b is the image that it is said of; nil: files are.
func (j *job) statements(ctx context.Context, list []Attestation, subjects []intoto.Subject, b *built) ([]statement, error) {
	flat, err := j.unbundle(ctx, list)
	if err != nil {
		return nil, err
	}
	var out []statement
	for _, a := range flat {
		content, err := j.content(ctx, a)
		if err == nil {
			content, err = j.withLayers(a, content, b)
		}
		if err != nil {
			return nil, fmt.Errorf("attestation %s: %w", a.Path, err)
		}
		about, err := about(a, subjects)
		if err != nil {
			return nil, err
		}
		out = append(out, statement{path.Base(a.Path), intoto.Statement{
			StatementHeader: intoto.StatementHeader{Type: intoto.StatementInTotoV1, PredicateType: a.InToto.PredicateType, Subject: about},
			Predicate:       json.RawMessage(content),
		}})
	}
	return out, nil
}

// about is what a statement is about; if it does not say, it is the image itself.
func about(a Attestation, self []intoto.Subject) ([]intoto.Subject, error) {
	said := a.InToto.Subjects
	if len(said) == 0 {
		said = []result.InTotoSubject{{Kind: gatewaypb.InTotoSubjectKind_Self}}
	}
	out := []intoto.Subject{}
	for _, s := range said {
		switch s.Kind {
		case gatewaypb.InTotoSubjectKind_Self:
			for _, own := range self {
				out = append(out, own)
				if s.Name != "" && s.Name != "_" {
					out = append(out, intoto.Subject{Name: s.Name, Digest: own.Digest})
				}
			}
		case gatewaypb.InTotoSubjectKind_Raw:
			name := s.Name
			if name == "" {
				name = "_"
			}
			out = append(out, intoto.Subject{Name: name, Digest: result.ToDigestMap(s.Digest...)})
		default:
			return nil, errdefs.New(errdefs.ErrInvalid, "attestation %s is about something unknown (%v)", a.Path, s.Kind)
		}
	}
	return out, nil
}

// provenancePrefix begins the types that only the builder itself may write.
const provenancePrefix = "https://slsa.dev/provenance/"

// unbundle takes bundles apart: directories with a statement a file.
func (j *job) unbundle(ctx context.Context, list []Attestation) ([]Attestation, error) {
	var core, rest []Attestation
	for _, a := range list {
		parts := []Attestation{a}
		switch {
		case a.Ref == nil && a.ContentFunc == nil:
			return nil, errdefs.New(errdefs.ErrInvalid, "attestation %q has no content", a.Path)
		case a.Kind == gatewaypb.AttestationKind_Bundle:
			var err error
			if parts, err = j.bundle(ctx, a); err != nil {
				return nil, fmt.Errorf("attestations in %s: %w", a.Path, err)
			}
		case strings.HasPrefix(a.InToto.PredicateType, provenancePrefix) && a.ContentFunc == nil:
			return nil, errdefs.New(errdefs.ErrInvalid, "a frontend must not write the provenance itself")
		case a.Path == "":
			return nil, errdefs.New(errdefs.ErrInvalid, "an attestation has no path")
		}
		for _, part := range parts {
			name, ok := part.Metadata[result.AttestationSBOMCore]
			if first, _, _ := strings.Cut(part.Path, "."); ok && first == string(name) {
				core = append(core, part)
			} else {
				rest = append(rest, part)
			}
		}
	}
	return append(core, rest...), nil
}

func (j *job) bundle(ctx context.Context, a Attestation) ([]Attestation, error) {
	if a.ContentFunc != nil || a.Ref == nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "a bundle must be a directory")
	}
	root, err := j.root(ctx, a.Ref)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names, err := root.List(a.Path)
	if err != nil {
		return nil, err
	}
	var out []Attestation
	for _, name := range names {
		data, err := root.Read(path.Join(a.Path, name), maxAttestation)
		if err != nil {
			return nil, err
		}
		part, err := bundled(a, name, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, part)
	}
	return out, nil
}

// bundled is one statement of a bundle.
func bundled(a Attestation, name string, data []byte) (Attestation, error) {
	var s intoto.Statement
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&s); err != nil {
		return Attestation{}, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Attestation{}, errdefs.New(errdefs.ErrInvalid, "it is more than one JSON object")
	}
	switch {
	case a.InToto.PredicateType != "" && s.PredicateType != a.InToto.PredicateType:
		return Attestation{}, errdefs.New(errdefs.ErrInvalid, "its type is %s and not %s", s.PredicateType, a.InToto.PredicateType)
	case strings.HasPrefix(s.PredicateType, provenancePrefix):
		return Attestation{}, errdefs.New(errdefs.ErrInvalid, "a frontend must not write the provenance itself")
	}
	predicate, err := json.Marshal(s.Predicate)
	if err != nil {
		return Attestation{}, err
	}
	part := Attestation{Kind: gatewaypb.AttestationKind_InToto, Metadata: a.Metadata, Path: path.Join(a.Path, name),
		ContentFunc: func(context.Context) ([]byte, error) { return predicate, nil },
		InToto:      result.InTotoAttestation{PredicateType: s.PredicateType}}
	for _, subject := range s.Subject {
		part.InToto.Subjects = append(part.InToto.Subjects, result.InTotoSubject{
			Kind: gatewaypb.InTotoSubjectKind_Raw, Name: subject.Name, Digest: result.FromDigestMap(subject.Digest)})
	}
	return part, nil
}

func (j *job) content(ctx context.Context, a Attestation) ([]byte, error) {
	if a.ContentFunc != nil {
		return a.ContentFunc(ctx)
	}
	root, err := j.root(ctx, a.Ref)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Read(a.Path, maxAttestation)
}

// attestationManifest adds the manifest and its parts to what is written.
func (j *job) attestationManifest(a *assembled, subject ocispecs.Descriptor, list []statement) (ocispecs.Descriptor, error) {
	m := ocispecs.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest}
	var digests []digest.Digest
	for _, s := range list {
		data, err := json.Marshal(s.Statement)
		if err != nil {
			return ocispecs.Descriptor{}, err
		}
		desc := describeBlob(intoto.PayloadType, data)
		desc.Annotations = map[string]string{"in-toto.io/predicate-type": s.PredicateType}
		m.Layers, digests = append(m.Layers, desc), append(digests, desc.Digest)
		a.extra[desc.Digest] = data
	}
	if j.settings.ociArtifact == nil || *j.settings.ociArtifact {
		m.Config, m.ArtifactType = ocispecs.DescriptorEmptyJSON, artifactType
		m.Subject = &ocispecs.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}
		a.extra[m.Config.Digest] = m.Config.Data
	} else {
		img := ocispecs.Image{Platform: nowhere, RootFS: ocispecs.RootFS{Type: "layers", DiffIDs: digests}}
		config, err := json.Marshal(img)
		if err != nil {
			return ocispecs.Descriptor{}, err
		}
		m.Config = describeBlob(ocispecs.MediaTypeImageConfig, config)
		a.extra[m.Config.Digest] = config
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	desc := describeBlob(m.MediaType, data)
	a.extra[desc.Digest] = data
	desc.Platform = &nowhere
	desc.Annotations = map[string]string{
		attestation.DockerAnnotationReferenceType:   attestation.DockerAnnotationReferenceTypeDefault,
		attestation.DockerAnnotationReferenceDigest: subject.Digest.String(),
	}
	return desc, nil
}
