package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/moby/moby/api/types/common"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// statusError is an error whose HTTP status is known where it comes up.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// fail is an error with an HTTP status and the text that clients see.
func fail(status int, format string, args ...any) error {
	return &statusError{status, fmt.Sprintf(format, args...)}
}

// invalid is an error about a parameter or a body.
func invalid(format string, args ...any) error {
	return fail(http.StatusBadRequest, format, args...)
}

// unsupported says that a field of a body is one that wherry does not have. Nothing that was asked for is dropped silently.
func unsupported(field, why string) error {
	return fail(http.StatusBadRequest, "%s is not supported by wherry: %s", field, why)
}

// noSuch is what Docker says of an object that is not there; clients look for these words.
func noSuch(kind, name string) error {
	return fail(http.StatusNotFound, "No such %s: %s", kind, name)
}

// kinds maps the engine's kinds of error to HTTP statuses; what is in none of them is a 500.
var kinds = []struct {
	kind   error
	status int
}{
	{errdefs.ErrInvalid, http.StatusBadRequest},
	{errdefs.ErrAmbiguous, http.StatusBadRequest},
	{errdefs.ErrNotExecutable, http.StatusBadRequest},
	{errdefs.ErrNoCommand, http.StatusBadRequest},
	{errdefs.ErrNameInUse, http.StatusConflict},
	{errdefs.ErrInUse, http.StatusConflict},
	{errdefs.ErrState, http.StatusConflict},
	{errdefs.ErrUnsupported, http.StatusNotImplemented},
	{errdefs.ErrNotFound, http.StatusNotFound},
	{errdefs.ErrNewerVersion, http.StatusInternalServerError},
	{context.DeadlineExceeded, http.StatusGatewayTimeout},
}

// statusOf is the HTTP status for an error.
func statusOf(err error) int {
	var known *statusError
	if errors.As(err, &known) {
		return known.status
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			return k.status
		}
	}
	return http.StatusInternalServerError
}

// fail answers with an error, unless the answer has begun: then the connection is broken off where HTTP would make the
// client believe that all is well.
func (w *response) fail(err error) {
	if w.hijacked {
		return
	}
	if w.started {
		if w.streaming {
			return // how it ended is told in the stream's own words
		}
		panic(http.ErrAbortHandler)
	}
	w.json(statusOf(err), common.ErrorResponse{Message: err.Error()})
}
