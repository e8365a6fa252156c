package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/container"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// containerWait answers with the header at once, which tells the client that nothing is missed any more, and with the exit
// code at the end.
func (s *Server) containerWait(w *response, r *request) error {
	condition := container.WaitCondition(r.param("condition"))
	switch condition {
	case "":
		condition = container.WaitConditionNotRunning
	case container.WaitConditionNotRunning, container.WaitConditionNextExit, container.WaitConditionRemoved:
	default:
		return invalid("invalid condition: %q", condition)
	}
	id, err := s.container(r)
	if err != nil {
		return err
	}
	run, leave := s.runs.join(id)
	defer leave()
	begin := sync.OnceFunc(func() {
		w.streamed(types.MediaTypeJSON)
	})
	code, err := s.awaitRun(r.Context(), id, condition, run, begin)
	if r.Context().Err() != nil {
		return nil // nobody listens
	}
	begin()
	answer := container.WaitResponse{StatusCode: int64(code)}
	if err != nil {
		answer = container.WaitResponse{StatusCode: -1, Error: &container.WaitExitError{Message: err.Error()}}
	}
	return json.NewEncoder(w).Encode(answer)
}

type outcome struct {
	code int
	err  error
}

// awaitRun waits for the condition. A run that is started by this server tells its exit code itself: it is known then even
// when the container is gone before anybody looked.
func (s *Server) awaitRun(ctx context.Context, id string, condition container.WaitCondition, run *run, armed func()) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waited := make(chan outcome, 1)
	go func() {
		code, err := s.engine.WaitArmed(ctx, id, string(condition), armed)
		waited <- outcome{code, err}
	}()
	select {
	case o := <-waited:
		if !s.runs.isTaken(run) || condition == container.WaitConditionNotRunning {
			return o.code, o.err
		}
		select {
		case <-run.done:
			return run.code, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	case <-run.done:
	}
	if condition != container.WaitConditionRemoved {
		return run.code, nil
	}
	_, err := s.engine.Wait(ctx, id, string(condition))
	if errors.Is(err, errdefs.ErrNotFound) {
		err = nil
	}
	return run.code, err
}

// streamed sends the header of a stream.
func (w *response) streamed(contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.streaming = true
	w.WriteHeader(http.StatusOK)
	http.NewResponseController(w.ResponseWriter).Flush()
}
