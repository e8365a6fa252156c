package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/values"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/signals"
)

func containerRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, pattern: "/containers/json", handle: (*Server).containerList},
		{method: post, pattern: "/containers/create", handle: (*Server).containerCreate},
		{method: post, pattern: "/containers/prune", handle: (*Server).containerPrune},
		{method: get, pattern: "/containers/{id}/json", handle: (*Server).containerInspect},
		{method: http.MethodDelete, pattern: "/containers/{id}", handle: (*Server).containerRemove},
		{method: post, pattern: "/containers/{id}/start", handle: (*Server).containerStart},
		{method: post, pattern: "/containers/{id}/stop", handle: (*Server).containerStop},
		{method: post, pattern: "/containers/{id}/restart", handle: (*Server).containerRestart},
		{method: post, pattern: "/containers/{id}/kill", handle: (*Server).containerKill},
		{method: post, pattern: "/containers/{id}/pause", handle: (*Server).containerPause},
		{method: post, pattern: "/containers/{id}/unpause", handle: (*Server).containerUnpause},
		{method: post, pattern: "/containers/{id}/rename", handle: (*Server).containerRename},
		{method: post, pattern: "/containers/{id}/wait", handle: (*Server).containerWait},
		{method: get, pattern: "/containers/{id}/logs", handle: (*Server).containerLogs},
		{method: post, pattern: "/containers/{id}/attach", handle: (*Server).containerAttach},
		{method: get, pattern: "/containers/{id}/attach/ws", handle: (*Server).containerAttachSocket},
		{method: post, pattern: "/containers/{id}/resize", handle: (*Server).containerResize},
		{method: post, pattern: "/containers/{id}/update", handle: (*Server).containerUpdate},
		{method: get, pattern: "/containers/{id}/top", handle: (*Server).containerTop},
		{method: get, pattern: "/containers/{id}/stats", handle: (*Server).containerStats},
		{method: get, pattern: "/containers/{id}/changes", handle: (*Server).containerChanges},
		{method: get, pattern: "/containers/{id}/export", handle: (*Server).containerExport},
		{method: http.MethodHead, pattern: "/containers/{id}/archive", handle: (*Server).archiveHead},
		{method: get, pattern: "/containers/{id}/archive", handle: (*Server).archiveGet},
		{method: http.MethodPut, pattern: "/containers/{id}/archive", handle: (*Server).archivePut},
		{method: get, pattern: "/containers/{id}/checkpoints", handle: (*Server).checkpoints},
		{method: post, pattern: "/containers/{id}/checkpoints", handle: (*Server).checkpoints},
	}
}

// container is the id of the container that the path names.
func (s *Server) container(r *request) (string, error) {
	ref := r.vars["id"]
	ids, err := s.engine.ResolveIDs(r.Context(), ref)
	switch {
	case errors.Is(err, errdefs.ErrNotFound):
		return "", noSuch("container", ref)
	case err != nil:
		return "", err
	}
	return ids[0], nil
}

// status is where the container of the path is.
func (s *Server) status(r *request) (id string, status record.Status, err error) {
	if id, err = s.container(r); err != nil {
		return "", "", err
	}
	status, err = s.engine.Status(r.Context(), id)
	if errors.Is(err, errdefs.ErrNotFound) {
		err = noSuch("container", r.vars["id"])
	}
	return id, status, err
}

// active tells whether something of a container runs, or is about to again.
func active(status record.Status) bool {
	return status == record.Running || status == record.Restarting || status == record.Paused
}

// done ends a request whose answer is its status. What was not found need not be the container.
func (s *Server) done(w *response, r *request, err error) error {
	if errors.Is(err, errdefs.ErrNotFound) {
		if there, _ := s.engine.Exists(r.Context(), r.vars["id"]); !there {
			return noSuch("container", r.vars["id"])
		}
	}
	if err != nil {
		return err
	}
	return w.empty(http.StatusNoContent)
}

// stopOptions are those of stop and restart.
func stopOptions(r *request) (opts libpod.StopOptions, err error) {
	if r.given("t") {
		seconds, err := r.number("t", 0)
		if err != nil {
			return opts, err
		}
		opts.Timeout = &seconds
	}
	if r.version >= 42 {
		opts.Signal = r.param("signal")
	}
	return opts, knownSignal(opts.Signal)
}

func knownSignal(name string) error {
	if name == "" {
		return nil
	}
	if _, err := signals.Parse(name); err != nil {
		return invalid("invalid signal: %s", name)
	}
	return nil
}

func (s *Server) containerStop(w *response, r *request) error {
	opts, err := stopOptions(r)
	if err != nil {
		return err
	}
	id, status, err := s.status(r)
	if err != nil {
		return err
	}
	if !active(status) {
		return w.empty(http.StatusNotModified)
	}
	return s.done(w, r, s.engine.Stop(r.work(), id, opts))
}

func (s *Server) containerRestart(w *response, r *request) error {
	opts, err := stopOptions(r)
	if err != nil {
		return err
	}
	id, err := s.container(r)
	if err != nil {
		return err
	}
	return s.done(w, r, startError(s.engine.Restart(r.work(), id, opts)))
}

func (s *Server) containerKill(w *response, r *request) error {
	sig := r.param("signal")
	if err := knownSignal(sig); err != nil {
		return err
	}
	id, status, err := s.status(r)
	if err != nil {
		return err
	}
	if !active(status) {
		return fail(http.StatusConflict, "cannot kill container: %s: container %s is not running", r.vars["id"], id)
	}
	return s.done(w, r, s.engine.Kill(r.work(), id, sig))
}

func (s *Server) containerPause(w *response, r *request) error {
	id, status, err := s.status(r)
	switch {
	case err != nil:
		return err
	case status == record.Paused:
		return fail(http.StatusConflict, "container %s is already paused", id)
	case status != record.Running:
		return fail(http.StatusConflict, "container %s is not running", id)
	}
	return s.done(w, r, s.engine.Pause(r.work(), id))
}

func (s *Server) containerUnpause(w *response, r *request) error {
	id, status, err := s.status(r)
	switch {
	case err != nil:
		return err
	case status != record.Paused:
		return fail(http.StatusConflict, "container %s is not paused", id)
	}
	return s.done(w, r, s.engine.Unpause(r.work(), id))
}

func (s *Server) containerRename(w *response, r *request) error {
	name := strings.TrimPrefix(r.param("name"), "/")
	if name == "" {
		return invalid("Neither old nor new names may be empty")
	}
	if err := values.Name(name); err != nil {
		return invalid("Invalid container name (%s): %v", name, err)
	}
	id, err := s.container(r)
	if err != nil {
		return err
	}
	return s.done(w, r, s.nameTaken(r, name, s.engine.Rename(r.work(), id, name)))
}

// nameTaken puts into Docker's words that a name is another container's.
func (s *Server) nameTaken(r *request, name string, err error) error {
	if !errors.Is(err, errdefs.ErrNameInUse) {
		return err
	}
	owner := "another"
	if ids, err := s.engine.ResolveIDs(r.Context(), name); err == nil {
		owner = ids[0]
	}
	return fail(http.StatusConflict, "Conflict. The container name %q is already in use by container %q. "+
		"You have to remove (or rename) that container to be able to reuse that name.", "/"+name, owner)
}

func (s *Server) containerRemove(w *response, r *request) error {
	if r.flag("link") {
		return unsupported("link", "containers are linked by their networks (disconnect one from the network)")
	}
	id, status, err := s.status(r)
	if err != nil {
		return err
	}
	force := r.flag("force")
	switch {
	case status == record.Removing && !force:
		return fail(http.StatusConflict, "removal of container %s is already in progress", r.vars["id"])
	case active(status) && !force:
		return fail(http.StatusConflict, "cannot remove container %q: container is %s: stop the container before removing or force remove", r.vars["id"], status)
	}
	return s.done(w, r, s.engine.Remove(r.work(), id, libpod.RemoveOptions{Force: force, Volumes: r.flag("v")}))
}

func (s *Server) containerPrune(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, "until", "label", "label!")
	}
	if err != nil {
		return err
	}
	ids, size, err := s.engine.Prune(r.work(), filters)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, container.PruneReport{ContainersDeleted: ids, SpaceReclaimed: uint64(size)})
}

func (s *Server) containerResize(w *response, r *request) error {
	rows, columns, err := size(r)
	if err != nil {
		return err
	}
	id, status, err := s.status(r)
	if err != nil {
		return err
	}
	if !active(status) {
		return fail(http.StatusConflict, "container %s is not running", id)
	}
	if err := s.engine.Resize(r.work(), id, rows, columns); err != nil {
		return err
	}
	return w.empty(http.StatusOK)
}

// size is that of a terminal.
func size(r *request) (rows, columns uint16, err error) {
	h, err := r.number("h", 0)
	if err != nil {
		return 0, 0, err
	}
	width, err := r.number("w", 0)
	if err != nil {
		return 0, 0, err
	}
	if h < 0 || width < 0 {
		return 0, 0, invalid("the size of a terminal cannot be negative")
	}
	return small(uint(h)), small(uint(width)), nil
}
