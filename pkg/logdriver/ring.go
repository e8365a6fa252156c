package logdriver

import (
	"sync"
	"time"
)

// ring holds output that waits for the file, so that a slow disk does not hold up the container
// (mode=non-blocking). What does not fit in is dropped, as Docker does it.
type ring struct {
	write   func(s Stream, p []byte, now time.Time) error
	max     int64
	mu      sync.Mutex
	changed sync.Cond
	queue   []piece
	bytes   int64 // queued or being written
	closed  bool
	err     error
	done    chan struct{}
}

type piece struct {
	stream Stream
	data   []byte
	now    time.Time
}

func newRing(write func(Stream, []byte, time.Time) error, maxBytes int64) *ring {
	r := &ring{write: write, max: maxBytes, done: make(chan struct{})}
	r.changed.L = &r.mu
	go r.run()
	return r
}

func (r *ring) put(s Stream, p []byte, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.err
	r.err = nil
	if r.bytes > 0 && r.bytes+int64(len(p)) > r.max {
		return err
	}
	r.queue = append(r.queue, piece{s, append([]byte(nil), p...), now})
	r.bytes += int64(len(p))
	r.changed.Broadcast()
	return err
}

func (r *ring) run() {
	defer close(r.done)
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for len(r.queue) == 0 && !r.closed {
			r.changed.Wait()
		}
		if len(r.queue) == 0 {
			return
		}
		batch := r.queue
		r.queue = nil
		for _, p := range batch {
			r.mu.Unlock()
			err := r.write(p.stream, p.data, p.now)
			r.mu.Lock()
			if err != nil {
				r.err = err
			}
			r.bytes -= int64(len(p.data))
		}
		r.changed.Broadcast()
	}
}

func (r *ring) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes == 0
}

// drain waits until everything is written. The caller puts nothing meanwhile.
func (r *ring) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.bytes > 0 {
		r.changed.Wait()
	}
}

func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.changed.Broadcast()
	r.mu.Unlock()
	<-r.done
}
