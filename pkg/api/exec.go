package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/libpod/monitor"
	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func execRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: post, pattern: "/containers/{id}/exec", handle: (*Server).execCreate},
		{method: post, pattern: "/exec/{id}/start", handle: (*Server).execStart},
		{method: post, pattern: "/exec/{id}/resize", handle: (*Server).execResize},
		{method: get, pattern: "/exec/{id}/json", handle: (*Server).execInspect},
	}
}

func (s *Server) execCreate(w *response, r *request) error {
	var body container.ExecCreateRequest
	if err := r.decode(w, &body); err != nil {
		return err
	}
	if len(body.Cmd) == 0 {
		return invalid("No exec command specified")
	}
	if _, err := monitor.ParseDetachKeys(body.DetachKeys); err != nil {
		return invalid("invalid detach keys: %v", err)
	}
	id, err := s.execPlace(r, r.vars["id"])
	if err != nil {
		return err
	}
	exec, err := s.execs.create(id, body)
	if err != nil {
		return err
	}
	return w.json(http.StatusCreated, container.ExecCreateResponse{ID: exec})
}

// execPlace is the id of a container in which something can be executed now.
func (s *Server) execPlace(r *request, ref string) (string, error) {
	r.vars["id"] = ref
	id, status, err := s.status(r)
	switch {
	case err != nil:
		return "", err
	case status == record.Paused:
		return "", fail(http.StatusConflict, "container %s is paused, unpause the container before exec", ref)
	case status == record.Restarting:
		return "", fail(http.StatusConflict, "container %s is restarting, wait until the container is running", ref)
	case status != record.Running:
		return "", fail(http.StatusConflict, "container %s is not running", ref)
	}
	return id, nil
}

func (s *Server) execInspect(w *response, r *request) error {
	exec, err := s.execs.find(r.vars["id"])
	if err != nil {
		return err
	}
	c := &exec.Config
	doc := container.ExecInspectResponse{
		ID: exec.ID, ContainerID: exec.Container, Running: s.execs.runs(exec), ExitCode: exec.ExitCode, CanRemove: false,
		OpenStdin: c.AttachStdin, OpenStdout: c.AttachStdout, OpenStderr: c.AttachStderr, Pid: readPid(s.execs.pidFile(exec)),
		ProcessConfig: &container.ExecProcessConfig{Tty: c.Tty, Entrypoint: c.Cmd[0], Arguments: c.Cmd[1:], Privileged: &c.Privileged, User: c.User},
	}
	doc.DetachKeys, _ = monitor.ParseDetachKeys(c.DetachKeys)
	return w.json(http.StatusOK, doc)
}

func readPid(path string) int {
	data, _ := os.ReadFile(path)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return pid
}

func (s *Server) execResize(w *response, r *request) error {
	rows, columns, err := size(r)
	if err != nil {
		return err
	}
	exec, err := s.execs.find(r.vars["id"])
	if err != nil {
		return err
	}
	if err := s.execs.resize(exec.ID, rows, columns); err != nil {
		return err
	}
	return w.empty(http.StatusOK)
}

func (s *Server) execStart(w *response, r *request) error {
	var body container.ExecStartRequest
	if err := r.decode(w, &body); err != nil {
		return err
	}
	exec, err := s.execs.find(r.vars["id"])
	if err != nil {
		return err
	}
	if _, err := s.execPlace(r, exec.Container); err != nil {
		return err
	}
	if body.ConsoleSize != nil {
		exec.Config.ConsoleSize = body.ConsoleSize
	}
	if err := s.execs.start(exec); err != nil {
		return err
	}
	if body.Detach {
		return s.execDetached(w, r, exec)
	}
	contentType := types.MediaTypeMultiplexedStream
	if exec.Config.Tty {
		contentType = types.MediaTypeRawStream
	}
	conn, err := w.upgrade(r, contentType)
	if err != nil {
		s.execs.end(exec, errdefs.ExitOurs)
		return err
	}
	defer conn.Close()
	stdout, stderr := split(conn, exec.Config.Tty, exec.Config.AttachStdout, exec.Config.AttachStderr)
	ctx := r.work()
	if exec.Config.Tty {
		s.execTerminal(ctx, exec, conn, stdout)
	} else {
		s.execPiped(ctx, exec, conn, stdout, stderr)
	}
	return nil
}

// options are what the engine needs of a session.
func (e *session) options(pidFile string) libpod.ExecOptions {
	c := &e.Config
	opts := libpod.ExecOptions{Command: c.Cmd, Env: c.Env, WorkDir: c.WorkingDir, User: c.User, Privileged: c.Privileged, Terminal: c.Tty, PidFile: pidFile}
	if c.ConsoleSize != nil {
		opts.Rows, opts.Columns = small(c.ConsoleSize[0]), small(c.ConsoleSize[1])
	}
	return opts
}

// run executes and notes the end. The error is nil where the command ran.
func (s *Server) runExec(ctx context.Context, exec *session, opts libpod.ExecOptions) error {
	defer s.work.begin()()
	code, err := s.engine.Exec(ctx, exec.Container, opts)
	if err != nil {
		code = errdefs.ExitCode(err)
	}
	s.execs.end(exec, code)
	return err
}

// execDetached answers once the command runs, or with the reason why it does not.
func (s *Server) execDetached(w *response, r *request, exec *session) error {
	pidFile := s.execs.pidFile(exec)
	begun, stop, err := awaitFile(pidFile)
	if err != nil {
		return err
	}
	defer stop()
	opts := exec.options(pidFile)
	if opts.Terminal {
		opts.Relay = func(master *os.File) { io.Copy(io.Discard, master) }
	}
	ended := make(chan error, 1)
	ctx := r.work()
	go func() { ended <- s.runExec(ctx, exec, opts) }()
	select {
	case <-begun:
	case err := <-ended:
		if err != nil {
			return startError(err)
		}
	}
	return w.empty(http.StatusOK)
}

// awaitFile tells when a file appears.
func awaitFile(path string) (there <-chan struct{}, stop func(), err error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, nil, err
	}
	changes := os.NewFile(uintptr(fd), "inotify")
	dir := path[:strings.LastIndexByte(path, '/')]
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO); err != nil {
		changes.Close()
		return nil, nil, err
	}
	found := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		for readPid(path) == 0 {
			if _, err := changes.Read(buf); err != nil {
				return
			}
		}
		close(found)
	}()
	return found, func() { changes.Close() }, nil
}

// tellFailure says in the stream why the command did not run. An error that the runtime has told there already has no
// text of its own.
func tellFailure(err error, conn *connection, tty bool) {
	var exit *errdefs.ExitError
	if err == nil || errors.As(err, &exit) && exit.Err == nil {
		return
	}
	out := io.Writer(conn)
	if !tty {
		out = (&frames{out: conn}).of(stdcopy.Stderr)
	}
	io.WriteString(out, err.Error()+"\r\n")
}
