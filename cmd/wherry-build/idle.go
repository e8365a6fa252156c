package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// idleWatch ends a server that nobody is connected to any more.
type idleWatch struct {
	after time.Duration
	end   context.CancelFunc

	mu    sync.Mutex
	users int
	timer *time.Timer
}

// watchIdle begins to wait for connections. The time runs from now.
func watchIdle(after time.Duration, end context.CancelFunc) *idleWatch {
	return &idleWatch{after: after, end: end, timer: time.AfterFunc(after, end)}
}

func (w *idleWatch) come() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users++
	w.timer.Stop()
}

func (w *idleWatch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users--; w.users == 0 {
		w.timer = time.AfterFunc(w.after, w.end)
	}
}

// countedListener tells the watch of its connections.
type countedListener struct {
	net.Listener
	watch *idleWatch
}

func (l countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.watch.come()
	return &countedConn{Conn: conn, watch: l.watch}, nil
}

type countedConn struct {
	net.Conn
	watch *idleWatch
	once  sync.Once
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.watch.leave)
	return err
}
