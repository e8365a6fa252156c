package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/ociruntime"
)

// overMark is what follows the pid in the pipe when the runtime has ended.
const overMark = '.'

// watchStart learns from the runtime when the command is about to run: crun writes the pid then, into a pipe. What is to be
// done at that moment is done by the time that done returns.
func (st *step) watchStart(start *ociruntime.Start) (done func(), err error) {
	var once sync.Once
	started := func() { once.Do(st.started) }
	if st.runtime.Kind != ociruntime.Crun || st.Started == nil && st.Container == nil && st.key == "" {
		started()
		return func() {}, nil
	}
	start.PidFile = filepath.Join(st.dir, "pid")
	if err := unix.Mkfifo(start.PidFile, 0o600); err != nil {
		return nil, err
	}
	pipe, err := os.OpenFile(start.PidFile, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	// The threads of the rest of this process do not see what is mounted at dir; through the descriptor they do.
	dir, err := os.OpenFile(st.dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		pipe.Close()
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		text := make([]byte, 16)
		if n, _ := pipe.Read(text); n > 0 && text[0] != overMark {
			st.keepFilter(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
			started()
		}
	}()
	return func() {
		pipe.Write([]byte{overMark})
		<-ended
		pipe.Close()
		dir.Close()
	}, nil
}

func (st *step) started() {
	if st.Container != nil {
		st.Container.open()
	}
	if st.Started != nil {
		st.Started()
	}
}

// keepFilter stores the filter that the runtime has compiled, for the next step; dir leads to st.dir. It is only a cache.
func (st *step) keepFilter(dir string) {
	if st.key == "" {
		return
	}
	if file := st.runtime.SeccompFile(st.place.ID); file != "" {
		st.filters().Harvest(st.key, dir+strings.TrimPrefix(file, st.dir))
	}
}
