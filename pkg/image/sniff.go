package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"

	"github.com/containers/storage/pkg/archive"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// kind is what an input of load is.
type kind int

const (
	kindDockerArchive kind = iota + 1
	kindOCIArchive
	kindLayout
	kindDir
)

var errNoImage = errdefs.New(errdefs.ErrInvalid, "this is no image (known are docker-archive, oci-archive, and directories of the formats oci and dir; for the tar of a root file system use: wherry import)")

// sniff finds out what lies at file. An archive that is both Docker's and OCI's (docker save makes them) is taken as
// Docker's: its names are there.
func sniff(file string) (kind, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	if info.IsDir() {
		switch {
		case exists(file, "index.json"):
			return kindLayout, nil
		case exists(file, "manifest.json"):
			return kindDir, nil
		}
		return 0, errNoImage
	}
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return sniffArchive(f)
}

// sniffArchive reads the headers of a tar, compressed or not.
func sniffArchive(f *os.File) (kind, error) {
	plain, err := plainTar(f)
	if err != nil {
		return 0, errNoImage
	}
	defer plain.Close()
	isOCI := false
	tr := tar.NewReader(plain)
	for {
		header, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF) && isOCI:
			return kindOCIArchive, nil
		case err != nil:
			return 0, errNoImage
		}
		switch path.Clean(header.Name) {
		case "manifest.json":
			return kindDockerArchive, nil
		case "index.json":
			isOCI = true
		}
	}
}

// plainTar is f without its compression. An uncompressed file is returned as it is, so that the reader can seek
// over contents.
func plainTar(f *os.File) (io.ReadCloser, error) {
	head := make([]byte, 10)
	n, err := io.ReadFull(f, head)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if archive.DetectCompression(head[:n]) == archive.Uncompressed {
		return io.NopCloser(f), nil
	}
	return archive.DecompressStream(f)
}
