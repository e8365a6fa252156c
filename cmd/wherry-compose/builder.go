package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// builder is the process that builds images for our clients. It is started with the first build, and ended when nobody
// has used it for a while, or when we end: however that happens, the kernel tells it.
type builder struct {
	env *cmdkit.Env

	mu   sync.Mutex
	proc *builderProcess // nil: none runs
	uses int             // connections
	idle *time.Timer     // runs while there are none
}

type builderProcess struct {
	socket string
	ended  chan struct{}
	signal func(os.Signal) error
	said   bytes.Buffer // to be read when it has ended
}

// Times of the builder.
const (
	builderIdle  = 30 * time.Second
	builderStart = 20 * time.Second
)

func newBuilder(env *cmdkit.Env) *builder { return &builder{env: env} }

// dial connects to the builder, which is started where it does not run.
func (b *builder) dial(ctx context.Context) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc != nil {
		select {
		case <-b.proc.ended:
			b.proc = nil
		default:
		}
	}
	if b.proc == nil {
		proc, err := b.start()
		if err != nil {
			return nil, err
		}
		b.proc = proc
	}
	conn, err := b.proc.connect(ctx)
	if err != nil {
		return nil, err
	}
	b.uses++
	if b.idle != nil {
		b.idle.Stop()
		b.idle = nil
	}
	return &builderConn{Conn: conn, done: b.release}, nil
}

// release counts a connection that has ended.
func (b *builder) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uses--; b.uses == 0 {
		b.idle = time.AfterFunc(builderIdle, b.rest)
	}
}

// rest ends a builder that nobody uses.
func (b *builder) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.uses == 0 && b.proc != nil {
		b.proc.signal(syscall.SIGTERM)
		b.proc = nil
	}
}

// start starts the process. Its thread's end would be taken for ours by the kernel, so that one stays as long as it.
func (b *builder) start() (*builderProcess, error) {
	dir := filepath.Join(b.env.Dirs.Run, "builders")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sweepSockets(dir)
	p := &builderProcess{socket: filepath.Join(dir, strconv.Itoa(os.Getpid())+".sock"), ended: make(chan struct{})}
	args := []string{"buildkit", "--addr", "unix://" + p.socket}
	if b.env.Runtime != "" {
		args = append([]string{"--runtime", b.env.Runtime}, args...)
	}
	cmd := exec.Command(b.env.Dirs.Build(), args...)
	cmd.Stderr = &p.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true} // Ctrl-C is ours to pass on
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			os.Remove(p.socket)
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the builder %s: %w (is wherry installed completely?)", b.env.Dirs.Build(), err)
	}
	p.signal = cmd.Process.Signal
	return p, nil
}

// connect waits until the process listens.
func (p *builderProcess) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, builderStart)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", p.socket)
		if err == nil || !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("start the builder: %w", context.Cause(ctx))
		case <-p.ended:
			text := strings.Join(strings.FieldsFunc(p.said.String(), func(r rune) bool { return r == '\n' }), "; ")
			return nil, errdefs.New(errdefs.ErrState, "start the builder: %s", strings.TrimPrefix(text, "Error: "))
		case <-tick.C:
		}
	}
}

// sweepSockets removes the sockets of those who were killed.
func sweepSockets(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		pid, err := strconv.Atoi(strings.TrimSuffix(e.Name(), ".sock"))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if _, err := procs.StartTime(pid); errors.Is(err, procs.ErrGone) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// builderConn is a connection whose end is told once.
type builderConn struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *builderConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.done)
	return err
}
