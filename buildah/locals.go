package buildah

import (
	"io"
	"sync"

	"github.com/wherry-containers/wherry/buildah/request"
)

// locals are the sessions that live in this process: their directories are read, and written, where they lie.
type locals struct {
	mu sync.Mutex
	by map[string]local
}

// local is one such session.
type local struct {
	dirs     map[string]string // by name
	outDirs  map[int]string    // by place in the list of outputs
	outFiles map[int]func(map[string]string) (io.WriteCloser, error)
}

func (l *locals) add(session string, r *request.Request) (remove func()) {
	here := local{dirs: r.Dirs, outDirs: map[int]string{}, outFiles: map[int]func(map[string]string) (io.WriteCloser, error){}}
	for i, e := range r.Solve.Exports {
		if e.OutputDir != "" {
			here.outDirs[i] = e.OutputDir
		}
		if e.Output != nil {
			here.outFiles[i] = e.Output
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string]local{}
	}
	l.by[session] = here
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.by, session)
	}
}

func (l *locals) of(session string) (local, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	here, ok := l.by[session]
	return here, ok
}

// has tells whether a session is one of them.
func (l *locals) has(session string) bool {
	_, ok := l.of(session)
	return ok
}

// find is source.Env's Local.
func (l *locals) find(session, name string) (dir string, ok bool) {
	here, _ := l.of(session)
	dir, ok = here.dirs[name]
	return dir, ok
}
