package container

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"golang.org/x/sys/unix"
)

// firstPreserved is the first descriptor that can be passed on: those before it are the standard streams.
const firstPreserved = 3

// preserveList takes the numbers of --preserve-fd.
func (o *execOptions) preserveList(s string) error {
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
func (o *execOptions) preserved() ([]*os.File, error) {
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
