package cmdkit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// UsageError is a command line that makes no sense. Command names the command whose help explains it.
type UsageError struct {
	Text    string
	Command string // path without the program's name: "container ls", empty for the program itself
	// Words says that it is the command or its operands that make no sense, not a flag: Docker's status for that is 1,
	// Podman's, and ours, is 125.
	Words bool
}

func (e *UsageError) Error() string { return e.Text }

// Usagef returns a usage error; the command that is running is filled in by Run.
func Usagef(format string, args ...any) error {
	return &UsageError{Text: fmt.Sprintf(format, args...)}
}

// Operandsf is Usagef for operands that are missing or too many.
func Operandsf(format string, args ...any) error {
	return &UsageError{Text: fmt.Sprintf(format, args...), Words: true}
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
	fmt.Fprintf(env.Err, "Error: %s\n", env.named(oneLine(err.Error())))
	var usage *UsageError
	if errors.As(err, &usage) {
		fmt.Fprintf(env.Err, "See '%s --help'.\n", strings.TrimSpace(env.Program+" "+usage.Command))
		if usage.Words && env.Program == docker {
			return 1
		}
	}
	return errdefs.ExitCode(err)
}

// hinted are the commands that messages name as the next step.
var hinted = []string{"container", "exec", "image", "images", "import", "info", "inspect", "login", "logs", "network", "ps", "pull", "push",
	"rm", "rmi", "run", "search", "secret", "start", "stop", "system", "tag", "unpause", "volume"}

// named puts our name into the commands that a message names: somebody who calls us docker types docker.
func (e *Env) named(text string) string {
	const own, letters = "wherry ", "abcdefghijklmnopqrstuvwxyz"
	if e.Program == "wherry" || !strings.Contains(text, own) {
		return text
	}
	parts := strings.Split(text, own)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, rest := range parts[1:] {
		verb := rest[:len(rest)-len(strings.TrimLeft(rest, letters))]
		if slices.Contains(hinted, verb) {
			b.WriteString(e.Program + " " + rest)
		} else {
			b.WriteString(own + rest)
		}
	}
	return b.String()
}

// oneLine joins the lines of a message, such as the output of a child, by "; ", and makes it printable.
func oneLine(text string) string {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "\r\n") {
		lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
		text = strings.Join(lines, "; ")
	}
	return spelled(text, "\t")
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
				fmt.Fprintf(env.Err, "Error: %s\n", env.named(oneLine(last.Error())))
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
