package container

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
	"golang.org/x/sys/unix"
)

// firstPreserved is the first descriptor that can be passed on: those before it are the standard streams.
const firstPreserved = 3

// preserving are the descriptors of the caller that a command is to have.
type preserving struct {
	keepCount int
	keepList  []int
}

func (o *preserving) flags() []cli.Flag {
	return []cli.Flag{
		cmdkit.Func("preserve-fd", "Pass the open descriptors in `LIST` on, as 3,5", o.preserveList),
		cmdkit.Func("preserve-fds", "Pass `NUMBER` of open descriptors on, from 3", func(s string) (err error) {
			o.keepCount, err = values.Count(s)
			return err
		}),
	}
}

// preserveList takes the numbers of --preserve-fd.
func (o *preserving) preserveList(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < firstPreserved || n >= 1<<16 {
			return errors.New("it is a list of numbers from 3 on, as 3,5")
		}
		o.keepList = append(o.keepList, n)
	}
	return nil
}

// preserved are the descriptors from 3 on that the command keeps. They have to be open, and handed down to us; in the
// gaps of a list the command finds /dev/null.
func (o *preserving) preserved() ([]*os.File, error) {
	count := o.keepCount
	if count > 0 && len(o.keepList) > 0 {
		return nil, cmdkit.Usagef("--preserve-fd and --preserve-fds do not go together")
	}
	if len(o.keepList) > 0 {
		count = slices.Max(o.keepList) - firstPreserved + 1
	}
	var files []*os.File
	for fd := firstPreserved; fd < firstPreserved+count; fd++ {
		if len(o.keepList) > 0 && !slices.Contains(o.keepList, fd) {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return nil, err
			}
			files = append(files, null)
			continue
		}
		// What is marked to be closed is ours, not the caller's.
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, cmdkit.Usagef("descriptor %d, which --preserve-fd asks for, is not open", fd)
		}
		files = append(files, os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd)))
	}
	return files, nil
}

// preserve hands the descriptors on to the container: those that were asked for, else the sockets of systemd's socket
// activation (sd_listen_fds(3)).
func (w *wish) preserve(env *cmdkit.Env, keep *preserving) error {
	sockets := false
	if keep.keepCount == 0 && len(keep.keepList) == 0 && env.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		keep.keepCount, _ = strconv.Atoi(env.Getenv("LISTEN_FDS"))
		keep.keepCount, sockets = min(max(keep.keepCount, 0), maxSockets), true
	}
	if keep.keepCount == 0 && len(keep.keepList) == 0 {
		return nil
	}
	if r := w.Config.Lifecycle.Restart; r != "" && r != "no" {
		return cmdkit.Usagef("--restart=%s and descriptors that are passed on do not go together: a later start has none", r)
	}
	var err error
	if w.Keep, err = keep.preserved(); err != nil || !sockets {
		return err
	}
	w.Env = append([]string{"LISTEN_PID=1", "LISTEN_FDS=" + strconv.Itoa(len(w.Keep))}, w.Env...)
	if names := env.Getenv("LISTEN_FDNAMES"); names != "" {
		w.Env = append([]string{"LISTEN_FDNAMES=" + names}, w.Env...)
	}
	return nil
}

// maxSockets bounds what the environment can ask for.
const maxSockets = 256
