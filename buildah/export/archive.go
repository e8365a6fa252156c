package export

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	imagesarchive "github.com/containerd/containerd/v2/core/images/archive"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/util/contentutil"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/codes"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// archive sends the result to the client as an archive that docker load and others read, or, with tar=false, as the blobs
// of an OCI layout.
func (j *job) archive(ctx context.Context) (map[string]string, error) {
	if j.Type == client.ExporterDocker && len(j.Result.Refs) > 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "an archive of type docker holds one platform only (use type=oci, or one --platform)")
	}
	if name, ok := j.Result.Metadata[exptypes.ExporterImageNameKey]; ok && len(j.settings.names) == 1 && j.settings.names[0] == "*" {
		j.settings.names = nil
		if err := j.settings.setNames(string(name)); err != nil {
			return nil, err
		}
	}
	names, err := fullNames(j.settings.names)
	if err != nil {
		return nil, err
	}
	a, err := j.assemblePacked(ctx)
	if err != nil {
		return nil, err
	}
	defer a.close()
	if err := j.dated(&a.desc); err != nil {
		return nil, err
	}
	out, err := response(a.desc, a.config(), names)
	if err != nil {
		return nil, err
	}
	if j.settings.layout {
		caller, err := j.caller(ctx)
		if err != nil {
			return nil, err
		}
		return out, j.step(ctx, "copying blobs", func() error {
			return contentutil.CopyChain(ctx, sessioncontent.NewCallerStore(caller, "export"), a.provider(), a.desc)
		})
	}
	opts := []imagesarchive.ExportOpt{imagesarchive.WithManifest(a.desc, names...)}
	if j.Type == client.ExporterOCI {
		opts = append(opts, imagesarchive.WithAllPlatforms(), imagesarchive.WithSkipDockerManifest())
	}
	return out, j.step(ctx, "sending tarball", func() error {
		return j.send(ctx, out, func(w io.Writer) error { return imagesarchive.Export(ctx, a.provider(), w, opts...) })
	})
}

// dated says in the archive's index when the image was made.
func (j *job) dated(desc *ocispecs.Descriptor) error {
	when, err := j.epochOf(nil)
	if err != nil {
		return err
	}
	if when == nil {
		now := time.Now()
		when = &now
	}
	if desc.Annotations == nil {
		desc.Annotations = map[string]string{}
	}
	if _, ok := desc.Annotations[ocispecs.AnnotationCreated]; !ok {
		desc.Annotations[ocispecs.AnnotationCreated] = when.UTC().Format(time.RFC3339)
	}
	return nil
}

// send writes to the file that the client has opened for this output.
func (j *job) send(ctx context.Context, said map[string]string, write func(io.Writer) error) error {
	w, err := j.writer(ctx, said)
	if err != nil {
		return err
	}
	err = write(w)
	if err != nil {
		// A half archive must not look like a whole one; the client learns why from the build's error.
		if failing, ok := w.(interface{ CloseWithError(error) error }); ok {
			failing.CloseWithError(err)
		} else {
			w.Close()
		}
	} else {
		err = w.Close()
	}
	if grpcerrors.Code(err) == codes.AlreadyExists { // the client has it
		return nil
	}
	return err
}

func (j *job) writer(ctx context.Context, said map[string]string) (io.WriteCloser, error) {
	if open, ok := j.Files[j.ID]; ok {
		w, err := open(said)
		if err == nil && w == nil {
			err = errors.New("there is no file to write to")
		}
		return w, err
	}
	caller, err := j.caller(ctx)
	if err != nil {
		return nil, err
	}
	return filesync.CopyFileWriter(ctx, said, j.ID, caller)
}

// caller is the client.
func (j *job) caller(ctx context.Context) (session.Caller, error) {
	if j.o.Sessions == nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "the build has no client to send its result to")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return j.o.Sessions.Get(ctx, j.SessionID, false)
}

// fullNames completes names as Docker does.
func fullNames(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid name %q: %s", name, strings.ToLower(err.Error()))
		}
		out = append(out, reference.TagNameOnly(named).String())
	}
	return out, nil
}
