package container

import (
	"errors"
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

// preserved is how many descriptors from 3 on the command keeps. They have to be open, and handed down to us; of a list
// those in between are closed to the command.
func (o *execOptions) preserved() (int, error) {
	count := o.keepCount
	if count > 0 && len(o.keepList) > 0 {
		return 0, cmdkit.Usagef("--preserve-fd and --preserve-fds do not go together")
	}
	if len(o.keepList) > 0 {
		count = slices.Max(o.keepList) - firstPreserved + 1
	}
	for fd := firstPreserved; fd < firstPreserved+count; fd++ {
		wanted := len(o.keepList) == 0 || slices.Contains(o.keepList, fd)
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		inherited := err == nil && flags&unix.FD_CLOEXEC == 0
		switch {
		case wanted && !inherited:
			return 0, cmdkit.Usagef("descriptor %d, which --preserve-fd asks for, is not open", fd)
		case !wanted && inherited:
			unix.CloseOnExec(fd)
		}
	}
	return count, nil
}
