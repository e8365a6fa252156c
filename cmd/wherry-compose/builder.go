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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// builder is the process that builds images for our clients. It is started with the first build, and ends when nobody
// has been connected to it for a while, as after our own end, however that comes.
type builder struct {
	env *cmdkit.Env

	mu   sync.Mutex
	proc *builderProcess // nil: none runs
}

type builderProcess struct {
	socket string
	ended  chan struct{}
	said   bytes.Buffer // to be read when it has ended
}

// Times of the builder.
const (
	builderIdle  = "10" // seconds
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
	return b.proc.connect(ctx)
}

// start starts the process.
func (b *builder) start() (*builderProcess, error) {
	dir := filepath.Join(b.env.Dirs.Run, "builders")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sweepSockets(dir)
	p := &builderProcess{socket: filepath.Join(dir, strconv.Itoa(os.Getpid())+".sock"), ended: make(chan struct{})}
	args := []string{"buildkit", "--time", builderIdle, "--addr", "unix://" + p.socket}
	if b.env.Runtime != "" {
		args = append([]string{"--runtime", b.env.Runtime}, args...)
	}
	cmd := exec.Command(b.env.Dirs.Build(), args...)
	cmd.Stderr = &p.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the builder %s: %w (is wherry installed completely?)", b.env.Dirs.Build(), err)
	}
	go func() {
		cmd.Wait()
		close(p.ended)
	}()
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
