package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containers/image/v5/oci/layout"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// maxDocument bounds an index and a manifest, as registries do.
const maxDocument = 4 << 20

// unpackArchive makes an OCI directory of an OCI archive, in the work directory. Only the files that such a directory
// consists of are taken out of it: a link would lead to files of the host, for reading as for writing.
func (s *Session) unpackArchive(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	plain, err := plainTar(f)
	if err != nil {
		return "", errNoImage
	}
	defer plain.Close()
	dir, err := os.MkdirTemp(s.work.path, "oci-")
	if err != nil {
		return "", err
	}
	in := tar.NewReader(plain)
	for {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return dir, nil
		case err != nil:
			return dir, errdefs.New(errdefs.ErrInvalid, "a broken archive: %v", err)
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !ofLayout(name) {
			continue
		}
		if sparse(h) {
			return dir, errdefs.New(errdefs.ErrInvalid, "%s is a sparse file in the archive, which no image's is", name)
		}
		if err := unpackFile(filepath.Join(dir, name), h.Size, in); err != nil {
			return dir, fmt.Errorf("unpack %s: %w", name, err)
		}
	}
}

// sparse says whether an entry is larger than what the archive has of it: a few bytes could fill the disk with zeros.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// ofLayout says whether name is a file of an OCI directory (image-layout.md of the OCI image specification).
func ofLayout(name string) bool {
	if name == imgspec.ImageIndexFile || name == imgspec.ImageLayoutFile {
		return true
	}
	blob, in := strings.CutPrefix(name, imgspec.ImageBlobsDir+"/")
	algorithm, hex, two := strings.Cut(blob, "/")
	return in && two && digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex).Validate() == nil
}

// unpackFile writes one file below a directory of ours, in which there are no links. A size that does not fit is
// refused before it fills the disk.
func unpackFile(to string, size int64, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if unix.Statfs(filepath.Dir(to), &fs) == nil && uint64(size)/uint64(fs.Bsize) > fs.Bavail {
		return fmt.Errorf("%d bytes: %w", size, unix.ENOSPC)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// readDocument reads a small file that somebody else made.
func readDocument(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errdefs.New(errdefs.ErrInvalid, "%s is no file", filepath.Base(file)))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if len(data) > maxDocument {
		return nil, errdefs.New(errdefs.ErrInvalid, "%s is larger than %d bytes, which no image's is", filepath.Base(file), maxDocument)
	}
	return data, err
}

// listLayout is layout.List for a directory that nobody vouches for.
func listLayout(dir string) ([]layout.ListResult, error) {
	if err := checkIndex(dir); err != nil {
		return nil, err
	}
	return layout.List(dir)
}

func checkIndex(dir string) error {
	_, err := readDocument(filepath.Join(dir, imgspec.ImageIndexFile))
	if errors.Is(err, os.ErrNotExist) {
		return errdefs.New(errdefs.ErrInvalid, "there is no %s, so this is no image of the format oci", imgspec.ImageIndexFile)
	}
	return err
}

// checkManifest makes sure that what an OCI directory's index names is what lies there: containers/image compares the
// digests of configuration and layers, and of the images of a nested index, but not this one.
func checkManifest(dir string, d imgspec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return errdefs.New(errdefs.ErrInvalid, "the index names %q, which is no digest", string(d.Digest))
	}
	data, err := readDocument(filepath.Join(dir, imgspec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errdefs.New(errdefs.ErrInvalid, "the manifest %s, which the index names, is not there", d.Digest)
	case err != nil:
		return err
	}
	if d.Digest.Algorithm().FromBytes(data) != d.Digest {
		return errdefs.New(errdefs.ErrInvalid, "the manifest %s is not what its digest says (the image was changed or is damaged)", d.Digest)
	}
	return nil
}

// checked prepares the reference of a transport that reads files: an archive of OCI is unpacked by us, and what is
// small is read once before anybody takes it for small.
func (s *Session) checked(ref types.ImageReference) (types.ImageReference, error) {
	where, image, _ := strings.Cut(ref.StringWithinTransport(), ":")
	switch ref.Transport().Name() {
	case "dir":
		_, err := readDocument(filepath.Join(ref.StringWithinTransport(), "manifest.json"))
		return ref, err
	case "oci-archive":
		dir, err := s.unpackArchive(where)
		if err != nil {
			return nil, err
		}
		if ref, err = layout.NewReference(dir, image); err != nil {
			return nil, err
		}
		where = dir
	case layout.Transport.Name():
	default:
		return ref, nil
	}
	if err := checkIndex(where); err != nil {
		return nil, err
	}
	d, err := layout.LoadManifestDescriptor(ref)
	if err != nil {
		return nil, err
	}
	return ref, checkManifest(where, d)
}
