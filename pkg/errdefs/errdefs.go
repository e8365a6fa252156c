// Package errdefs names the kinds of error that callers tell apart and the exit status each one carries.
package errdefs

import (
	"errors"
	"fmt"
)

// Kinds of error. Wrap one with %w and ask for it with errors.Is; never match text.
var (
	ErrNotFound      = errors.New("not found")
	ErrInUse         = errors.New("in use")
	ErrNameInUse     = errors.New("name already in use")
	ErrInvalid       = errors.New("invalid")
	ErrAmbiguous     = errors.New("ambiguous")
	ErrState         = errors.New("wrong state")
	ErrUnsupported   = errors.New("not supported")
	ErrNewerVersion  = errors.New("written by a newer version of wherry")
	ErrBroken        = errors.New("broken record")
	ErrNotExecutable = errors.New("not executable")
	ErrNoCommand     = errors.New("command not found")
)

// Exit statuses of Docker's command line.
const (
	ExitOurs          = 125
	ExitNotExecutable = 126
	ExitNotFound      = 127
)

// ExitError carries an exit status to main. A nil Err exits silently with Code.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Kinded is an error whose text is complete by itself and that also answers errors.Is for its kind.
type Kinded struct {
	Kind error
	Text string
}

func (e *Kinded) Error() string { return e.Text }
func (e *Kinded) Unwrap() error { return e.Kind }

// New returns an error of the given kind whose whole text is the formatted message.
func New(kind error, format string, args ...any) error {
	return &Kinded{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// ExitCode is the status main exits with for err: the code of an ExitError, 126 and 127 for a command that
// cannot be executed or found in the container, else 125.
func ExitCode(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	case errors.Is(err, ErrNotExecutable):
		return ExitNotExecutable
	case errors.Is(err, ErrNoCommand):
		return ExitNotFound
	}
	return ExitOurs
}
