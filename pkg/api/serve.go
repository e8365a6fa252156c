package api

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Bounds of a connection, against clients that take their time.
const (
	headerTime = 10 * time.Second
	keepTime   = 2 * time.Minute // between two requests of a client
	maxHeader  = 256 << 10       // log-ins for registries are in headers
	stopTime   = 10 * time.Second
)

// ServeOptions says how long a service stays.
type ServeOptions struct {
	Idle time.Duration // it ends when so long nothing was asked; 0: it stays
	// Current tells whether the process is still where commands that start now work; once it is not the service ends, so that
	// another one can begin there. nil: it always is.
	Current func() bool
	Rest    func() // is called when nothing was asked for a moment, and then not again until something was; nil: nothing is
}

// Serve answers requests of listeners until ctx ends, or nothing was asked for long enough. It stops taking requests then,
// and returns when those under way are done, but not later than after ten seconds.
func (s *Server) Serve(ctx context.Context, opts ServeOptions, listeners ...net.Listener) error {
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	outdated := make(chan struct{})
	server := &http.Server{
		Handler: s.whileCurrent(opts.Current, sync.OnceFunc(func() { close(outdated) })), ReadHeaderTimeout: headerTime, IdleTimeout: keepTime, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    log.New(warner(s.opts.Warn), "", 0),
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case <-s.work.idle(base, opts):
	case <-outdated:
	case err = <-failed:
	}
	cancel() // streams end, what changes something goes on
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	if stopErr := server.Shutdown(stop); err == nil && !errors.Is(stopErr, context.DeadlineExceeded) {
		err = stopErr
	}
	return err
}

// whileCurrent refuses requests once the process is left behind, and tells so.
func (s *Server) whileCurrent(current func() bool, left func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if current == nil || current() {
			s.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		(&response{ResponseWriter: w}).fail(fail(http.StatusServiceUnavailable, "the service works in a user namespace that was left (wherry system migrate): it ends now, ask again"))
		left()
	})
}

// warner hands lines of the HTTP server's log on, but for those about clients that went away.
type warner func(string)

func (w warner) Write(p []byte) (int, error) {
	if line := strings.TrimSpace(string(p)); !strings.Contains(line, "TLS handshake error") || !strings.HasSuffix(line, "EOF") {
		w(line)
	}
	return len(p), nil
}

// workload counts what is under way: requests, and what they have left to be done beside.
type workload struct {
	mu     sync.Mutex
	count  int
	moved  time.Time     // when a piece of work last began or ended
	change chan struct{} // has an entry when one did since it was looked at
}

func newWorkload() *workload {
	return &workload{moved: time.Now(), change: make(chan struct{}, 1)}
}

// begin notes a piece of work; the result ends it.
func (l *workload) begin() (end func()) {
	l.add(1)
	return func() { l.add(-1) }
}

func (l *workload) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count += n
	l.moved = time.Now()
	select {
	case l.change <- struct{}{}:
	default:
	}
}

// restAfter is how long nothing begins or ends until the service gives memory back.
const restAfter = 2 * time.Second

// idle is closed once nothing has been under way for long enough. A stream that goes on keeps the service there, but does not
// keep it from resting.
func (l *workload) idle(ctx context.Context, opts ServeOptions) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		rested := false
		timer := time.NewTimer(opts.next(0, false, false))
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.change:
				rested = false
			case <-timer.C:
			}
			l.mu.Lock()
			passed, busy := time.Since(l.moved), l.count > 0
			l.mu.Unlock()
			if !rested && passed >= restAfter && opts.Rest != nil {
				opts.Rest()
				rested = true
			}
			if !busy && opts.Idle > 0 && passed >= opts.Idle {
				close(over)
				return
			}
			timer.Reset(opts.next(passed, rested, busy))
		}
	}()
	return over
}

// next is when there is something to do if nothing begins or ends.
func (o ServeOptions) next(passed time.Duration, rested, busy bool) time.Duration {
	next := time.Hour
	if !rested && o.Rest != nil {
		next = restAfter - passed
	}
	if !busy && o.Idle > 0 {
		next = min(next, o.Idle-passed)
	}
	return max(next, time.Millisecond)
}
