package cmdkit

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Confirm warns of what is about to happen and asks whether to go on; anything but y or yes is no.
func (e *Env) Confirm(ctx context.Context, warning string) bool {
	fmt.Fprintf(e.Out, "WARNING! %s\nAre you sure you want to continue? [y/N] ", warning)
	var answer string
	err := e.Ask(ctx, func() (err error) {
		answer, err = bufio.NewReader(e.In).ReadString('\n')
		return err
	})
	if ctx.Err() != nil || err != nil && answer == "" {
		fmt.Fprintln(e.Out)
		return false
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// Ask runs read, which waits for somebody to type, until it has its answer or ctx ends. Then read is left waiting, and
// a terminal gets back the modes that it had: read may have switched its echo off.
func (e *Env) Ask(ctx context.Context, read func() error) error {
	restore := func() {}
	if f, ok := e.In.(*os.File); ok {
		if modes, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			restore = func() { unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, modes) }
		}
	}
	answered := make(chan error, 1)
	go func() { answered <- read() }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		restore()
		return ctx.Err()
	}
}
