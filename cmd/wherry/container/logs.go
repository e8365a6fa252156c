package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/values"
)

type logsOptions struct {
	libpod.LogsOptions
	latest bool
	names  bool
	color  bool
}

// Logs is `wherry logs`.
func Logs(env *cmdkit.Env) *cli.Command {
	opts := logsOptions{LogsOptions: libpod.LogsOptions{Tail: -1}}
	moment := func(p *time.Time) func(string) error {
		return func(s string) (err error) {
			*p, err = values.When(s, time.Now())
			return err
		}
	}
	return &cli.Command{
		Name: "logs", Usage: "Show the output of containers", ArgsUsage: "[CONTAINER...]",
		Flags: []cli.Flag{
			cmdkit.Bool(&opts.color, "color", "Put the container's name before each line, in a colour of its own"),
			cmdkit.Bool(&opts.Details, "details", "Show the attributes of each line too"),
			cmdkit.Bool(&opts.Follow, "follow f", "Go on until the container ends"),
			cmdkit.Bool(&opts.latest, "latest l", "Of the newest container"),
			cmdkit.Bool(&opts.names, "names", "Put the container's name before each line"),
			cmdkit.Func("since", "Only what is not older than `TIME`, as 10m or 2026-01-02T15:04:05Z", moment(&opts.Since)),
			cmdkit.Func("tail n", "Only the last `LINES`, or all", func(s string) error { return tail(&opts.Tail, s) }),
			cmdkit.Bool(&opts.Timestamps, "timestamps t", "Put the time before each line"),
			cmdkit.Func("until", "Only what is older than `TIME`", moment(&opts.Until)),
		},
		Action: func(c *cli.Context) error { return logs(c.Context, env, opts, c.Args().Slice()) },
	}
}

func tail(p *int, s string) error {
	*p = -1
	if s == "all" {
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > math.MaxInt32 {
		return errors.New("a number of lines is expected, or all")
	}
	if n >= 0 {
		*p = n
	}
	return nil
}

func logs(ctx context.Context, env *cmdkit.Env, opts logsOptions, refs []string) error {
	e := engine(env)
	opts.Stdout, opts.Stderr = env.Out, env.Err
	if len(refs) > 1 && !opts.latest {
		return logsOfSeveral(ctx, env, e, opts, refs)
	}
	ref, _, err := one(ctx, e, opts.latest, refs)
	if err != nil {
		return err
	}
	if opts.names || opts.color {
		var lock sync.Mutex
		prefix := opts.prefix(ref, 0)
		out, errs := prefixed(&lock, env.Out, prefix), prefixed(&lock, env.Err, prefix)
		defer out.flush()
		defer errs.flush()
		opts.Stdout, opts.Stderr = out, errs
	}
	return e.Logs(ctx, ref, opts.LogsOptions)
}

// logsOfSeveral reads all logs at once when they are followed, else one after the other; each line names its
// container.
func logsOfSeveral(ctx context.Context, env *cmdkit.Env, e *libpod.Engine, opts logsOptions, refs []string) error {
	if _, err := e.ResolveIDs(ctx, refs...); err != nil {
		return err
	}
	var lock sync.Mutex
	errs := make([]error, len(refs))
	var all sync.WaitGroup
	for i, ref := range refs {
		read := func() {
			own := opts.LogsOptions
			prefix := opts.prefix(ref, i)
			out, err := prefixed(&lock, env.Out, prefix), prefixed(&lock, env.Err, prefix)
			own.Stdout, own.Stderr = out, err
			errs[i] = e.Logs(ctx, ref, own)
			out.flush()
			err.flush()
		}
		if opts.Follow {
			all.Go(read)
		} else {
			read()
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// linePrefixer writes whole lines with the name of their container in front.
type linePrefixer struct {
	lock   *sync.Mutex
	w      io.Writer
	prefix string
	rest   []byte // of a line that has not ended
}

// prefix is the name that stands before the lines of the n-th container.
func (o *logsOptions) prefix(name string, n int) string {
	if !o.color {
		return name + " | "
	}
	colours := []int{32, 33, 34, 35, 36, 31, 92, 93, 94, 95, 96, 91} // of a terminal: green, yellow, blue, ...
	return fmt.Sprintf("\x1b[%dm%s |\x1b[0m ", colours[n%len(colours)], name)
}

func prefixed(lock *sync.Mutex, w io.Writer, prefix string) *linePrefixer {
	return &linePrefixer{lock: lock, w: w, prefix: prefix}
}

// Write keeps an unfinished line until its end comes.
func (l *linePrefixer) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	var out []byte
	for line := range bytes.Lines(l.rest[:end]) {
		out = append(append(out, l.prefix...), line...)
	}
	l.rest = append(l.rest[:0], l.rest[end:]...)
	l.lock.Lock()
	defer l.lock.Unlock()
	_, err := l.w.Write(out)
	return len(p), err
}

func (l *linePrefixer) flush() {
	if len(l.rest) > 0 {
		l.Write([]byte("\n"))
	}
}
