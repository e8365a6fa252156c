package api

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// runTable knows which containers somebody waits for to be started: `docker run` attaches and waits first, and starts then,
// so that it loses neither a byte nor the exit code of a container that is gone in a moment.
type runTable struct {
	mu      sync.Mutex
	pending map[string]*run
}

// run is the next run of a container, or, once it is taken, the one under way.
type run struct {
	client *client // attached from the first byte; nil: nobody
	users  int     // clients and waiters
	taken  bool    // a start of ours is under way, and done will be closed
	begun  chan struct{}
	done   chan struct{}
	code   int
}

// join returns the next run of a container; leave must be called.
func (t *runTable) join(id string) (joined *run, leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending == nil {
		t.pending = map[string]*run{}
	}
	joined = t.pending[id]
	if joined == nil {
		joined = &run{begun: make(chan struct{}), done: make(chan struct{})}
		t.pending[id] = joined
	}
	joined.users++
	return joined, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if joined.users--; joined.users == 0 && t.pending[id] == joined {
			delete(t.pending, id)
		}
	}
}

// attach makes c the run's client from the first byte; false where it has one already, or has begun.
func (t *runTable) attach(r *run, c *client) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.taken || r.client != nil {
		return false
	}
	r.client = c
	return true
}

// detach undoes attach; false: the run has begun with the client.
func (t *runTable) detach(r *run, c *client) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.taken {
		return false
	}
	if r.client == c {
		r.client = nil
	}
	return true
}

// take is called by the start of a container: nil where nobody waits for it.
func (t *runTable) take(id string) *run {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.pending[id]
	if r != nil {
		r.taken = true
		delete(t.pending, id)
	}
	return r
}

func (t *runTable) isTaken(r *run) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return r.taken
}

func (s *Server) containerStart(w *response, r *request) error {
	id, status, err := s.status(r)
	switch {
	case err != nil:
		return err
	case status == record.Paused:
		return fail(http.StatusConflict, "cannot start a paused container, try unpause instead")
	case status == record.Running || status == record.Restarting:
		return w.empty(http.StatusNotModified)
	}
	if run := s.runs.take(id); run != nil {
		err = s.startFollowed(r.work(), id, run)
	} else {
		_, err = s.engine.Start(r.work(), id, libpod.StartOptions{})
	}
	if err != nil {
		s.dropFailed(r.work(), id)
	}
	return s.done(w, r, startError(err))
}

// startFollowed starts a container that clients wait for, and returns once it runs. Its end is waited for beside.
func (s *Server) startFollowed(ctx context.Context, id string, run *run) error {
	failed := make(chan error, 1)
	end := s.work.begin()
	go func() {
		defer end()
		defer close(run.done)
		opts := libpod.AttachOptions{}
		if run.client != nil {
			opts = run.client.options()
		}
		begun := false
		code, err := s.engine.Start(ctx, id, libpod.StartOptions{Attach: &opts, Began: func() {
			begun = true
			close(run.begun)
		}})
		switch {
		case !begun:
			run.code = errdefs.ExitCode(err)
			failed <- err
			return
		case errors.Is(err, libpod.ErrDetached): // the client has left, others may still wait
			run.client.leave()
			code, _ = s.engine.Wait(ctx, id, "not-running")
		}
		run.code = code
	}()
	select {
	case <-run.begun:
		return nil
	case err := <-failed:
		return err
	}
}

// dropFailed removes a container that was to be removed at its end and could not be started, as Docker does.
func (s *Server) dropFailed(ctx context.Context, id string) {
	doc, err := s.engine.Inspect(ctx, id)
	if err != nil || !doc.HostConfig.AutoRemove || doc.State.Running {
		return
	}
	if err := s.engine.Remove(ctx, id, libpod.RemoveOptions{Force: true, Volumes: true}); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		s.opts.Warn("container " + id + " could not be started, and is not removed: " + err.Error())
	}
}

// startError adds the words by which docker run tells a command that is not there (127) or cannot be executed (126).
func startError(err error) error {
	switch {
	case errors.Is(err, errdefs.ErrNoCommand):
		return fail(http.StatusBadRequest, "%v: executable file not found", err)
	case errors.Is(err, errdefs.ErrNotExecutable):
		return fail(http.StatusBadRequest, "%v: permission denied", err)
	}
	return err
}
