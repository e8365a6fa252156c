package source

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"golang.org/x/sys/unix"
)

// Memo remembers, for one build, what sources turned out to stand for, so that all its steps see the same. The zero
// value is ready for use.
type Memo struct {
	mu    sync.Mutex
	known map[string]any
}

func (e *Env) recall(key string) (any, bool) {
	if e.Memo == nil {
		return nil, false
	}
	e.Memo.mu.Lock()
	defer e.Memo.mu.Unlock()
	v, ok := e.Memo.known[key]
	return v, ok
}

func (e *Env) note(key string, v any) {
	if e.Memo == nil {
		return
	}
	e.Memo.mu.Lock()
	defer e.Memo.mu.Unlock()
	if e.Memo.known == nil {
		e.Memo.known = map[string]any{}
	}
	e.Memo.known[key] = v
}

// secret asks whoever builds for a secret; nil: there is none of that name.
func (e *Env) secret(ctx context.Context, name string) (value []byte, err error) {
	if e.Sessions == nil || e.Session == nil {
		return nil, nil
	}
	err = e.Sessions.Any(ctx, e.Session, func(ctx context.Context, _ string, c session.Caller) error {
		value, err = secrets.GetSecret(ctx, c, name)
		return err
	})
	if errors.Is(err, secrets.ErrNotFound) || errors.Is(err, session.ErrNoActiveSessions) {
		return nil, nil
	}
	return value, err
}

// claimShared makes a directory and holds it till the build is over, so that no sweep removes it.
func (e *Env) claimShared(dir string) (string, error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		f, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
			return "", errors.Join(err, f.Close())
		}
		if still(f, dir) {
			e.hold(func() { f.Close() })
			now := time.Now()
			return dir, os.Chtimes(dir, now, now)
		}
		f.Close()
	}
}
