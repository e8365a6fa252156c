package events

import (
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// Backends.
const (
	File     = "file"
	Journald = "journald"
	None     = "none"
)

// BackendVar names the backend in the environment, where the global flag puts it: companions see it too.
const BackendVar = "WHERRY_EVENTS"

// Log is where the events of one user go. The zero Log drops them.
type Log struct {
	Backend string // file, journald, none; empty: file
	Dir     string // of the file; on a tmpfs, so that events are gone at reboot
	Store   string // data directory: tells the events of one store from others' in the journal
}

// The file, and how it is bounded: a full one is renamed to events.log.1, an older one to .2; what was in .2 is gone.
const (
	fileName = "events.log"
	maxSize  = 1 << 20
	oldFiles = 2
)

// Fields of an event in the journal.
const (
	FieldEvent = "WHERRY_EVENT"
	FieldStore = "WHERRY_STORE"
)

// Write notes an event; without a time it happens now. Nothing that a user asks for fails because of an event that
// cannot be noted: there is no error.
//
// It takes no lock and syncs nothing: the line goes out in one write to a file that was opened for appending, so lines
// of several processes do not mix, and a process that is killed has written all of its line or nothing.
func (l Log) Write(e Event) {
	if l.Dir == "" || l.Backend == None {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	text := e.Append(make([]byte, 0, 512))
	if l.Backend == Journald {
		l.toJournal(e, text[:len(text)-1])
		return
	}
	path := filepath.Join(l.Dir, fileName)
	fd, err := openAppend(path)
	if err == unix.ENOENT {
		os.MkdirAll(l.Dir, 0o700)
		fd, err = openAppend(path)
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.Write(fd, text)
	if end, err := unix.Seek(fd, 0, unix.SEEK_CUR); err == nil && end >= maxSize {
		l.rotate(fd)
	}
}

func openAppend(path string) (int, error) {
	return unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
}

// rotate renames the file that fd is, unless somebody else does or did it. Who has it open still appends to it.
func (l Log) rotate(fd int) {
	dir, err := unix.Open(l.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(dir) // unlocks
	if unix.Flock(dir, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	var ours, named unix.Stat_t
	if unix.Fstat(fd, &ours) != nil || unix.Fstatat(dir, fileName, &named, 0) != nil || ours.Ino != named.Ino {
		return
	}
	for n := oldFiles; n > 0; n-- {
		unix.Renameat(dir, segment(n-1), dir, segment(n))
	}
}

func segment(n int) string {
	if n == 0 {
		return fileName
	}
	return fileName + "." + strconv.Itoa(n)
}

func (l Log) toJournal(e Event, text []byte) {
	entry := logdriver.AppendField(nil, "MESSAGE", []byte(e.Type+" "+e.Action+" "+e.ID))
	entry = append(entry, "PRIORITY=6\nSYSLOG_IDENTIFIER=wherry\n"...)
	entry = logdriver.AppendField(entry, FieldEvent, text)
	logdriver.SendJournal(logdriver.AppendField(entry, FieldStore, []byte(l.Store)))
}
