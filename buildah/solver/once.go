package solver

import (
	"context"
	"sync"
	"sync/atomic"
)

// once is work that is done once, on behalf of everybody who asks. It ends when it is done or its job ends; a caller
// who goes away leaves it to the others.
type once[T any] struct {
	start sync.Once
	ended atomic.Bool
	done  chan struct{}
	value T
	err   error
}

// get starts the work if nobody has, and waits for its end. The work runs in the life of the job.
func (o *once[T]) get(ctx context.Context, j *Job, do func(context.Context) (T, error)) (T, error) {
	o.begin(j, do)
	select {
	case <-o.done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// begin starts the work if nobody has.
func (o *once[T]) begin(j *Job, do func(context.Context) (T, error)) {
	o.start.Do(func() {
		o.done = make(chan struct{})
		j.work.Go(func() {
			defer close(o.done)
			o.value, o.err = do(j.ctx)
			o.ended.Store(true)
		})
	})
}

// peek is the value if the work is done.
func (o *once[T]) peek() (value T) {
	if o.ended.Load() && o.err == nil {
		value = o.value
	}
	return value
}
