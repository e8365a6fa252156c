package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/moby/moby/api/types/volume"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func volumeRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/volumes", handle: (*Server).volumeList},
		{method: http.MethodGet, pattern: "/volumes/{name}", handle: (*Server).volumeInspect},
		{method: http.MethodPost, pattern: "/volumes/create", handle: (*Server).volumeCreate},
		{method: http.MethodPost, pattern: "/volumes/prune", handle: (*Server).volumePrune},
		{method: http.MethodPut, pattern: "/volumes/{name}", since: 42, handle: (*Server).volumeUpdate},
		{method: http.MethodDelete, pattern: "/volumes/{name}", handle: (*Server).volumeRemove},
	}
}

func (s *Server) volumeList(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, "dangling", "driver", "label", "name")
	}
	if err != nil {
		return err
	}
	all, err := s.engine.VolumeList(r.Context(), filters)
	if err != nil {
		return err
	}
	list := volume.ListResponse{Volumes: []volume.Volume{}, Warnings: []string{}}
	for i := range all {
		list.Volumes = append(list.Volumes, volumeDoc(&all[i]))
	}
	return w.json(http.StatusOK, list)
}

// anonymousLabel is how Docker marks volumes that nobody named.
const anonymousLabel = "com.docker.volume.anonymous"

func volumeDoc(v *libpod.Volume) volume.Volume {
	doc := volume.Volume{Name: v.Name, Driver: v.Driver, Mountpoint: v.Mountpoint, CreatedAt: v.CreatedAt.Format(time.RFC3339),
		Labels: v.Labels, Options: v.Options, Scope: v.Scope}
	if v.Anonymous {
		doc.Labels = maps.Clone(orEmpty(v.Labels))
		doc.Labels[anonymousLabel] = ""
	}
	return doc
}

func (s *Server) volume(ctx context.Context, name string) (*libpod.Volume, error) {
	v, err := s.engine.VolumeInspect(ctx, name)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, fail(http.StatusNotFound, "get %s: no such volume", name)
	}
	return v, err
}

func (s *Server) volumeInspect(w *response, r *request) error {
	v, err := s.volume(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, volumeDoc(v))
}

func (s *Server) volumeCreate(w *response, r *request) error {
	var body volume.CreateRequest
	if err := r.decode(w, &body); err != nil {
		return err
	}
	if body.ClusterVolumeSpec != nil {
		return errNoManager()
	}
	v, err := s.engine.VolumeCreate(r.work(), libpod.VolumeCreateOptions{Name: body.Name, Driver: body.Driver, Opts: body.DriverOpts, Labels: body.Labels})
	if err != nil {
		return err
	}
	return w.json(http.StatusCreated, volumeDoc(v))
}

// volumeUpdate is about cluster volumes, which a manager has.
func (s *Server) volumeUpdate(_ *response, r *request) error {
	if _, err := s.volume(r.Context(), r.vars["name"]); err != nil {
		return err
	}
	return errNoManager()
}

// volumeRemove never removes containers: Docker's force is about volumes that are not there.
func (s *Server) volumeRemove(w *response, r *request) error {
	name := r.vars["name"]
	err := s.engine.VolumeRemove(r.work(), name, libpod.VolumeRemoveOptions{})
	switch {
	case errors.Is(err, errdefs.ErrNotFound) && r.flag("force"):
	case errors.Is(err, errdefs.ErrNotFound):
		return fail(http.StatusNotFound, "get %s: no such volume", name)
	case errors.Is(err, errdefs.ErrInUse):
		return fail(http.StatusConflict, "remove %s: volume is in use: %v", name, err)
	case err != nil:
		return err
	}
	return w.empty(http.StatusNoContent)
}

// volumePrune removes named volumes too for clients before 1.42, as Docker does.
func (s *Server) volumePrune(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, "all", "label", "label!")
	}
	if err != nil {
		return err
	}
	removed, reclaimed, err := s.engine.VolumePrune(r.work(), libpod.VolumePruneOptions{All: r.version < 42, Filters: filters})
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, volume.PruneReport{VolumesDeleted: removed, SpaceReclaimed: uint64(max(reclaimed, 0))})
}
