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

// Serve answers requests of listeners until ctx ends, or until idle has passed without one; idle 0 means never. It stops
// taking requests then, and returns when those under way are done, but not later than after ten seconds.
func (s *Server) Serve(ctx context.Context, idle time.Duration, listeners ...net.Listener) error {
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTime, IdleTimeout: keepTime, MaxHeaderBytes: maxHeader,
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
	case <-s.work.idleFor(base, idle):
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
	ended  time.Time     // of the last piece of work
	change chan struct{} // has one entry when count has become zero
}

func newWorkload() *workload {
	return &workload{ended: time.Now(), change: make(chan struct{}, 1)}
}

// begin notes a piece of work; the result ends it.
func (l *workload) begin() (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.count--; l.count == 0 {
			l.ended = time.Now()
			select {
			case l.change <- struct{}{}:
			default:
			}
		}
	}
}

// idleFor is closed once nothing has been under way for d; never for a d of 0.
func (l *workload) idleFor(ctx context.Context, d time.Duration) <-chan struct{} {
	idle := make(chan struct{})
	if d <= 0 {
		return idle
	}
	go func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.change:
			case <-timer.C:
			}
			l.mu.Lock()
			left, busy := d-time.Since(l.ended), l.count > 0
			l.mu.Unlock()
			switch {
			case busy: // change tells when it is over
			case left <= 0:
				close(idle)
				return
			default:
				timer.Reset(left)
			}
		}
	}()
	return idle
}
