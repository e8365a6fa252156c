package buildah

import "sync"

// locals are the directories of sessions that live in this process: the builder reads them where they lie.
type locals struct {
	mu   sync.Mutex
	dirs map[string]map[string]string // by session and name
}

func (l *locals) add(session string, dirs map[string]string) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirs == nil {
		l.dirs = map[string]map[string]string{}
	}
	l.dirs[session] = dirs
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.dirs, session)
	}
}

func (l *locals) find(session, name string) (dir string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dir, ok = l.dirs[session][name]
	return dir, ok
}
