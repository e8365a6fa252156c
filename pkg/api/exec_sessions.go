package api

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/layout"
)

// session is one exec: made, started, ended. It lies in a file of the container's run directory, which goes with the
// container's run, so that it outlives the service.
type session struct {
	ID        string
	Container string
	Config    container.ExecCreateRequest
	Started   bool
	Ended     time.Time // zero: it has not
	ExitCode  *int
}

// execTable keeps the sessions. Those that this process runs are in memory too.
type execTable struct {
	dirs    layout.Dirs
	mu      sync.Mutex // orders changes of a session
	running map[string]bool
	resizes map[string]func(rows, columns uint16) error
}

// keepEnded is how long a client can ask for the exit code of a session.
const keepEnded = 5 * time.Minute

func newExecTable(dirs layout.Dirs) *execTable {
	return &execTable{dirs: dirs, running: map[string]bool{}, resizes: map[string]func(rows, columns uint16) error{}}
}

func (t *execTable) dir(containerID string) string {
	return filepath.Join(t.dirs.ContainerRun(containerID), "execs")
}

func (t *execTable) path(containerID, id string) string {
	return filepath.Join(t.dir(containerID), id+".json")
}

func (t *execTable) pidFile(s *session) string { return filepath.Join(t.dir(s.Container), s.ID+".pid") }

func newExecID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// create notes a new session, and forgets what ended long ago.
func (t *execTable) create(containerID string, cfg container.ExecCreateRequest) (string, error) {
	s := &session{ID: newExecID(), Container: containerID, Config: cfg}
	dir := t.dir(containerID)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	for _, old := range t.all(containerID) {
		if !old.Ended.IsZero() && time.Since(old.Ended) > keepEnded {
			os.Remove(t.path(containerID, old.ID))
			os.Remove(t.pidFile(old))
		}
	}
	return s.ID, t.write(s)
}

func (t *execTable) write(s *session) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(t.path(s.Container, s.ID), data, 0o600, atomicfile.Volatile)
}

// find returns the session with an id.
func (t *execTable) find(id string) (*session, error) {
	if len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "" {
		runs, _ := os.ReadDir(filepath.Dir(t.dirs.ContainerRun(id)))
		for _, run := range runs {
			if s := readSession(t.path(run.Name(), id)); s != nil {
				return s, nil
			}
		}
	}
	return nil, fail(404, "No such exec instance: %s", id)
}

func readSession(path string) *session {
	data, err := os.ReadFile(path)
	s := &session{}
	if err != nil || json.Unmarshal(data, s) != nil {
		return nil
	}
	return s
}

// all are the sessions of a container.
func (t *execTable) all(containerID string) []*session {
	entries, _ := os.ReadDir(t.dir(containerID))
	var list []*session
	for _, e := range entries {
		if s := readSession(filepath.Join(t.dir(containerID), e.Name())); strings.HasSuffix(e.Name(), ".json") && s != nil {
			list = append(list, s)
		}
	}
	return list
}

// of are the ids of a container's sessions that have not ended.
func (t *execTable) of(containerID string) []string {
	var ids []string
	for _, s := range t.all(containerID) {
		if s.Ended.IsZero() {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// start claims a session for one start.
func (t *execTable) start(s *session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := readSession(t.path(s.Container, s.ID))
	switch {
	case now == nil:
		return fail(404, "No such exec instance: %s", s.ID)
	case !now.Ended.IsZero():
		return fail(409, "exec command %s has already run", s.ID)
	case now.Started:
		return fail(409, "exec command %s is already running", s.ID)
	}
	s.Started, t.running[s.ID] = true, true
	return t.write(s)
}

// end notes how a session ended. Where the container is gone, nobody can ask any more.
func (t *execTable) end(s *session, code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.resizes, s.ID)
	delete(t.running, s.ID)
	s.Ended, s.ExitCode = time.Now(), &code
	t.write(s)
}

// runs tells whether a session's command runs. One of a service that was killed is asked of the kernel.
func (t *execTable) runs(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.Started || !s.Ended.IsZero() || t.running[s.ID] {
		return s.Started && s.Ended.IsZero()
	}
	pid := readPid(t.pidFile(s))
	return pid > 0 && unix.Kill(pid, 0) == nil
}

// sized makes the terminal of a session known.
func (t *execTable) sized(id string, resize func(rows, columns uint16) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resizes[id] = resize
}

func (t *execTable) resize(id string, rows, columns uint16) error {
	t.mu.Lock()
	resize := t.resizes[id]
	t.mu.Unlock()
	if resize == nil {
		return fail(409, "exec process is not running on a terminal")
	}
	return resize(rows, columns)
}
