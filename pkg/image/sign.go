package image

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// OpenPGP signs a text with a key of the user's.
type OpenPGP func(text []byte, key string) ([]byte, error)

// Sign makes simple signatures (containers-signature(5)) for what the registry has under a name: the manifest, of a list
// also this machine's image in it or, with opts.All, every one. They are files below opts.Directory, which lookaside in
// registries.d(5) points to. It returns their paths.
func (s *Session) Sign(ctx context.Context, name string, opts option.Sign, gpg OpenPGP) (paths []string, err error) {
	named, err := normalizeTag(strings.TrimPrefix(name, registryPrefix))
	if err != nil {
		return nil, err
	}
	ref, err := docker.NewReference(named)
	if err != nil {
		return nil, err
	}
	sys, err := s.registryContext(named.String(), access.Options{AuthFile: opts.AuthFile, CertDir: opts.CertDir}, option.Platform{})
	if err != nil {
		return nil, err
	}
	dir := opts.Directory
	if dir == "" {
		if dir, err = s.signatureDir(sys, ref); err != nil {
			return nil, err
		}
	}
	texts, err := toSign(ctx, sys, ref, opts.All)
	if err != nil {
		return nil, explainRegistry("sign", err, named)
	}
	for _, text := range texts {
		path, err := signManifest(text, named, dir, opts.By, gpg)
		if err != nil {
			return paths, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// signatureDir is where registries.d says that signatures of the image are, if that is a directory; else the usual one.
func (s *Session) signatureDir(sys *types.SystemContext, ref types.ImageReference) (string, error) {
	base, err := docker.SignatureStorageBaseURL(sys, ref, true)
	if err != nil {
		return "", fmt.Errorf("read registries.d: %w", err)
	}
	if base == nil {
		return filepath.Join(s.cfg.Dirs.Data, "sigstore"), nil
	}
	if base.Scheme != "file" {
		return "", errdefs.New(errdefs.ErrInvalid, "signatures of this image are at %s, where they cannot be written (name a directory: --directory DIR)", base)
	}
	return lookasideRoot(base, ref), nil
}

// lookasideRoot is the directory that registries.d names; the library has added the repository.
func lookasideRoot(base *url.URL, ref types.ImageReference) string {
	return strings.TrimSuffix(base.Path, "/"+reference.Path(ref.DockerReference()))
}

// toSign reads the manifests.
func toSign(ctx context.Context, sys *types.SystemContext, ref types.ImageReference, all bool) (texts [][]byte, err error) {
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	top, kind, err := image.UnparsedInstance(src, nil).Manifest(ctx)
	if err != nil {
		return nil, err
	}
	texts = append(texts, top)
	if !manifest.MIMETypeIsMultiImage(kind) {
		return texts, nil
	}
	list, err := manifest.ListFromBlob(top, kind)
	if err != nil {
		return nil, err
	}
	entries := list.Instances()
	if !all {
		mine, err := list.ChooseInstance(sys)
		if err != nil {
			return nil, err
		}
		entries = []digest.Digest{mine}
	}
	for _, entry := range entries {
		text, _, err := image.UnparsedInstance(src, &entry).Manifest(ctx)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func signManifest(text []byte, named reference.Named, dir, key string, gpg OpenPGP) (string, error) {
	signed, err := signature.SignDockerManifest(text, named.String(), mechanism{gpg}, key)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", named, err)
	}
	d, err := manifest.Digest(text)
	if err != nil {
		return "", err
	}
	place := filepath.Join(dir, fmt.Sprintf("%s@%s=%s", reference.Path(named), d.Algorithm(), d.Encoded()))
	if err := os.MkdirAll(place, 0o755); err != nil {
		return "", fmt.Errorf("keep the signature: %w", err)
	}
	for n := 1; ; n++ {
		path := filepath.Join(place, fmt.Sprintf("signature-%d", n))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return "", fmt.Errorf("keep the signature: %w", err)
		}
		_, err = f.Write(signed)
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
			return "", fmt.Errorf("keep the signature: %w", err)
		}
		return path, nil
	}
}

// mechanism lets the library sign by the user's own program: the library's is linked without a way to.
type mechanism struct{ sign OpenPGP }

func (m mechanism) Close() error                                 { return nil }
func (m mechanism) SupportsSigning() error                       { return nil }
func (m mechanism) Sign(text []byte, key string) ([]byte, error) { return m.sign(text, key) }
func (m mechanism) Verify([]byte) ([]byte, string, error)        { return nil, "", errors.ErrUnsupported }
func (m mechanism) UntrustedSignatureContents([]byte) ([]byte, string, error) {
	return nil, "", errors.ErrUnsupported
}

// SignatureStore is where signatures of a registry or repository are looked for; empty: nowhere but in the registry.
func SignatureStore(scope string) string {
	if !strings.Contains(scope, "/") {
		scope += "/x"
	}
	named, err := reference.ParseNormalizedNamed(scope)
	if err != nil {
		return ""
	}
	ref, err := docker.NewReference(reference.TagNameOnly(named))
	if err != nil {
		return ""
	}
	base, err := docker.SignatureStorageBaseURL(&types.SystemContext{}, ref, false)
	if err != nil || base == nil {
		return ""
	}
	return base.Scheme + "://" + base.Host + lookasideRoot(base, ref)
}
