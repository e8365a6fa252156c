package cmdkit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// UsageError is a command line that makes no sense. Command names the command whose help explains it.
type UsageError struct {
	Text    string
	Command string // path without the program's name: "container ls", empty for the program itself
}

func (e *UsageError) Error() string { return e.Text }

// Usagef returns a usage error; the command that is running is filled in by Run.
func Usagef(format string, args ...any) error {
	return &UsageError{Text: fmt.Sprintf(format, args...)}
}

// Exit returns an error that ends the program silently with code, nil for 0.
func Exit(code int) error {
	if code == 0 {
		return nil
	}
	return &errdefs.ExitError{Code: code}
}

// Report prints err as the one line the user sees and returns the exit status that belongs to it.
func Report(env *Env, err error) int {
	if err == nil {
		return 0
	}
	var exit *errdefs.ExitError
	if errors.As(err, &exit) && exit.Err == nil {
		return exit.Code
	}
	fmt.Fprintf(env.Err, "Error: %s\n", oneLine(err.Error()))
	var usage *UsageError
	if errors.As(err, &usage) {
		fmt.Fprintf(env.Err, "See '%s --help'.\n", strings.TrimSpace(env.Program+" "+usage.Command))
	}
	return errdefs.ExitCode(err)
}

// oneLine joins the lines of a message, such as the output of a child, by "; ".
func oneLine(text string) string {
	text = strings.TrimSpace(text)
	if !strings.ContainsAny(text, "\r\n") {
		return text
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, "; ")
}

// Each runs fn for every operand, prints what it returns, and goes on after an error. All errors but the last are
// printed on the way; the last one is returned, with the exit status 1 unless it carries its own (Docker's habit
// for commands with several operands).
func Each(env *Env, operands []string, fn func(operand string) (string, error)) error {
	var last error
	for _, operand := range operands {
		line, err := fn(operand)
		if err != nil {
			if last != nil {
				fmt.Fprintf(env.Err, "Error: %s\n", oneLine(last.Error()))
			}
			last = err
			continue
		}
		if line != "" {
			fmt.Fprintln(env.Out, line)
		}
	}
	return withStatus(last, 1)
}

func withStatus(err error, code int) error {
	var exit *errdefs.ExitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	return &errdefs.ExitError{Code: code, Err: err}
}
