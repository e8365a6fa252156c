package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/directory"
	darchive "github.com/containers/image/v5/docker/archive"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	oarchive "github.com/containers/image/v5/oci/archive"
	"github.com/containers/image/v5/oci/layout"
	"github.com/containers/image/v5/types"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// Formats of save.
const (
	formatDockerArchive = "docker-archive"
	formatOCIArchive    = "oci-archive"
	formatOCIDir        = "oci-dir"
	formatDockerDir     = "docker-dir"
)

// saved is one image to write, with the names it was asked for by.
type saved struct {
	id   string
	tags []reference.NamedTagged
}

// Save writes images as an archive or a directory. An archive appears under its name only when it is whole.
func (s *Session) Save(ctx context.Context, names []string, opts option.Save) error {
	if opts.Format == "" {
		opts.Format = formatDockerArchive
	}
	if err := checkSave(len(names), opts); err != nil {
		return err
	}
	images, err := s.toSave(ctx, names)
	if err != nil {
		return err
	}
	switch {
	case opts.Format == formatOCIDir || opts.Format == formatDockerDir:
		err = s.saveDir(ctx, images[0], opts)
	case opts.Output == "" || opts.Output == "-":
		err = s.saveStream(ctx, images, opts)
	default:
		err = s.saveFile(ctx, images, opts)
	}
	if err == nil {
		for i := range images {
			s.note("save", images[i].id, "")
		}
	}
	if full := new(fs.PathError); errors.Is(err, syscall.ENOSPC) && errors.As(err, &full) && !strings.HasPrefix(full.Path, s.cfg.Dirs.Data) {
		return errdefs.New(syscall.ENOSPC, "save: no space left on the device at %s", full.Path) // not ours to free
	}
	return explainLocal("save", err)
}

func checkSave(images int, opts option.Save) error {
	known := []string{formatDockerArchive, formatOCIArchive, formatOCIDir, formatDockerDir}
	switch {
	case !slices.Contains(known, opts.Format):
		return errdefs.New(errdefs.ErrInvalid, "invalid --format %q: want docker-archive, oci-archive, oci-dir or docker-dir", opts.Format)
	case opts.Compress && opts.Format != formatDockerDir:
		return errdefs.New(errdefs.ErrInvalid, "--compress is for --format docker-dir only")
	case images > 1 && opts.Format != formatDockerArchive:
		return errdefs.New(errdefs.ErrInvalid, "--format %s holds one image: save them one by one, or as docker-archive", opts.Format)
	case opts.Output == "" && (opts.Format == formatOCIDir || opts.Format == formatDockerDir):
		return errdefs.New(errdefs.ErrInvalid, "--format %s needs a directory (--output)", opts.Format)
	}
	return nil
}

// toSave looks the images up; several names of one image become its tags.
func (s *Session) toSave(ctx context.Context, names []string) ([]saved, error) {
	var out []saved
	for _, name := range names {
		img, err := s.lookup(ctx, name)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(out, func(v saved) bool { return v.id == img.ID })
		if at < 0 {
			at = len(out)
			out = append(out, saved{id: img.ID})
		}
		tagged, ok := mustNamed(img.Ref).(reference.NamedTagged)
		if ok && !slices.ContainsFunc(out[at].tags, func(t reference.NamedTagged) bool { return t.String() == tagged.String() }) {
			out[at].tags = append(out[at].tags, tagged)
		}
	}
	return out, nil
}

func (s *Session) saveFile(ctx context.Context, images []saved, opts option.Save) error {
	if info, err := os.Stat(opts.Output); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return s.toPipe(ctx, images, opts, func(r io.Reader) error { return copyInto(opts.Output, r) })
	} else if err == nil && info.IsDir() {
		return errdefs.New(errdefs.ErrInvalid, "%s is a directory (name a file, or use --format oci-dir)", opts.Output)
	}
	temp := filepath.Join(filepath.Dir(opts.Output), "."+filepath.Base(opts.Output)+".part")
	// In a directory of many users somebody else's file may wait under that name: it is not written to.
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.Remove(temp) // gone already when all went well
	if err := s.writeArchive(ctx, images, temp, opts); err != nil {
		return err
	}
	faultpoint.Hit("image.saved")
	return os.Rename(temp, opts.Output)
}

func copyInto(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (s *Session) saveStream(ctx context.Context, images []saved, opts option.Save) error {
	return s.toPipe(ctx, images, opts, func(r io.Reader) error {
		_, err := io.Copy(s.cfg.Out, r)
		return err
	})
}

// toPipe writes the archive through a pipe: the library wants a path, and ours is the pipe's.
func (s *Session) toPipe(ctx context.Context, images []saved, opts option.Save, sink func(io.Reader) error) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := sink(r)
		r.Close() // a writer that goes on gets EPIPE
		if err != nil {
			cancel(err)
		}
		done <- err
	}()
	err = s.writeArchive(ctx, images, fmt.Sprintf("/proc/self/fd/%d", w.Fd()), opts)
	w.Close()
	if sinkErr := <-done; sinkErr != nil {
		return sinkErr
	}
	return err
}

func (s *Session) writeArchive(ctx context.Context, images []saved, path string, opts option.Save) error {
	if opts.Format == formatOCIArchive {
		dst, err := oarchive.NewReference(path, ociName(images[0]))
		if err != nil {
			return err
		}
		return s.saveOne(ctx, images[0], dst, opts, copy.Options{})
	}
	writer, err := darchive.NewWriter(&s.sys, path)
	if err != nil {
		return err
	}
	for _, img := range images {
		dst, err := writer.NewReference(nil)
		if err != nil {
			writer.Close()
			return err
		}
		if err := s.saveOne(ctx, img, dst, opts, copy.Options{ForceManifestMIMEType: manifest.DockerV2Schema2MediaType}); err != nil {
			writer.Close()
			return err
		}
	}
	return writer.Close()
}

// ociName is the reference that an OCI archive or directory keeps for the image.
func ociName(img saved) string {
	if len(img.tags) == 0 {
		return ""
	}
	return img.tags[0].String()
}

func (s *Session) saveDir(ctx context.Context, img saved, opts option.Save) error {
	if opts.Format == formatOCIDir {
		dst, err := layout.NewReference(opts.Output, ociName(img))
		if err != nil {
			return err
		}
		return s.saveOne(ctx, img, dst, opts, copy.Options{ForceManifestMIMEType: imgspec.MediaTypeImageManifest})
	}
	dst, err := directory.NewReference(opts.Output)
	if err != nil {
		return err
	}
	return s.saveOne(ctx, img, dst, opts, copy.Options{ForceManifestMIMEType: manifest.DockerV2Schema2MediaType})
}

func (s *Session) saveOne(ctx context.Context, img saved, dst types.ImageReference, opts option.Save, o copy.Options) error {
	src, err := s.storageRef(img.id)
	if err != nil {
		return err
	}
	sys := s.sys
	sys.DockerArchiveAdditionalTags = img.tags
	sys.DirForceCompress = opts.Compress
	o.SourceCtx, o.DestinationCtx = &s.sys, &sys
	_, err = s.run(ctx, transfer{src: src, dst: dst, options: o, quiet: opts.Quiet})
	return err
}
