package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/common"
	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/image/option"
)

// commit makes an image of a container.
func (s *Server) commit(w *response, r *request) error {
	ref := r.param("container")
	if ref == "" {
		return invalid("container is missing: of which one shall the image be made?")
	}
	var body *container.Config
	if err := r.decode(w, &body); err != nil {
		return err
	}
	opts := option.Commit{Author: r.param("author"), Message: r.param("comment"), Changes: changeLines(r.params("changes")),
		Pause: r.flagOr("pause", true), Quiet: true, Format: "docker"}
	var err error
	if opts.Config, err = imageSettings(body); err != nil {
		return err
	}
	name := r.param("repo")
	if tag := r.param("tag"); tag != "" && name != "" {
		name += ":" + tag
	}
	if err := engine.CheckCommit(name, opts); err != nil {
		return err
	}
	if _, err := s.engine.ResolveIDs(r.Context(), ref); errors.Is(err, errdefs.ErrNotFound) {
		return noSuch("container", ref)
	} else if err != nil {
		return err
	}
	id, err := s.commitAs(r.work(), ref, name, opts)
	if err != nil {
		return err
	}
	return w.json(http.StatusCreated, common.IDResponse{ID: "sha256:" + id})
}

func (s *Server) commitAs(ctx context.Context, ref, name string, opts option.Commit) (id string, err error) {
	err = s.withImages(ctx, s.imageConfig(), func(session *engine.Session) error {
		return s.engine.Snapshot(ctx, ref, libpod.SnapshotOptions{Running: !opts.Pause}, func(from *libpod.Snapshot) (err error) {
			layer := engine.NewLayer{Config: from.Config(), Parent: from.Image.TopLayer(), Command: from.Command(), Write: from.WriteLayer, Empty: from.Empty()}
			id, err = session.Commit(ctx, layer, name, opts)
			return err
		})
	})
	return id, err
}

// changeLines takes Dockerfile instructions that come one a parameter or several in one.
func changeLines(params []string) []string {
	var all []string
	for _, text := range params {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
	}
	return all
}

// imageSettings are the parts of a container's configuration that an image has, as JSON; empty if none is given.
func imageSettings(c *container.Config) (string, error) {
	if c == nil {
		return "", nil
	}
	given := map[string]any{}
	for name, part := range map[string]struct {
		value any
		set   bool
	}{
		"User": {c.User, c.User != ""}, "WorkingDir": {c.WorkingDir, c.WorkingDir != ""}, "StopSignal": {c.StopSignal, c.StopSignal != ""},
		"Env": {c.Env, len(c.Env) > 0}, "Cmd": {c.Cmd, len(c.Cmd) > 0}, "Entrypoint": {c.Entrypoint, len(c.Entrypoint) > 0},
		"Volumes": {c.Volumes, len(c.Volumes) > 0}, "ExposedPorts": {c.ExposedPorts, len(c.ExposedPorts) > 0},
		"Labels": {c.Labels, len(c.Labels) > 0}, "OnBuild": {c.OnBuild, len(c.OnBuild) > 0}, "Shell": {c.Shell, len(c.Shell) > 0},
		"Healthcheck": {c.Healthcheck, c.Healthcheck != nil}, "StopTimeout": {c.StopTimeout, c.StopTimeout != nil},
	} {
		if part.set {
			given[name] = part.value
		}
	}
	if len(given) == 0 {
		return "", nil
	}
	data, err := json.Marshal(given)
	return string(data), err
}
