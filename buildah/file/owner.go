package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/progress/logs"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/safepath"
)

type owner struct{ uid, gid int }

// refused explains the usual reason why a file cannot be given to an owner.
func (o *owner) refused(at string, err error) error {
	if errors.Is(err, unix.EINVAL) {
		return errdefs.New(errdefs.ErrUnsupported, "%s: its owner %d:%d is outside of the ids that the user namespace has (see /etc/subuid and /etc/subgid)", at, o.uid, o.gid)
	}
	return &os.PathError{Op: "chown", Path: at, Err: err}
}

// maxAccounts bounds the size of a file of users or groups.
const maxAccounts = 10 << 20

// find looks up whom an action gives its files to. As in BuildKit, a user without a group brings his own, and a name
// that is unknown stands for root; the log of the step says so.
func (u Users) find(ctx context.Context, o *pb.ChownOpt) (*owner, error) {
	if o == nil {
		return nil, nil
	}
	found := &owner{}
	switch by := o.GetUser().GetUser().(type) {
	case *pb.UserOpt_ByID:
		found.uid, found.gid = int(by.ByID), int(by.ByID)
	case *pb.UserOpt_ByName:
		if err := u.userByName(ctx, by.ByName.GetName(), found); err != nil {
			return nil, err
		}
	}
	switch by := o.GetGroup().GetUser().(type) {
	case *pb.UserOpt_ByID:
		found.gid = int(by.ByID)
	case *pb.UserOpt_ByName:
		if err := u.groupByName(ctx, by.ByName.GetName(), found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (u Users) userByName(ctx context.Context, name string, found *owner) error {
	data, err := accounts(u.User, "/etc/passwd", "user", name)
	if err != nil {
		return err
	}
	users, err := user.ParsePasswdFilter(bytes.NewReader(data), func(u user.User) bool { return u.Name == name })
	if err != nil {
		return fmt.Errorf("read /etc/passwd: %w", err)
	}
	if len(users) == 0 {
		warn(ctx, "user %q is not in /etc/passwd of the image: the files are root's", name)
		return nil
	}
	found.uid, found.gid = users[0].Uid, users[0].Gid
	return nil
}

func (u Users) groupByName(ctx context.Context, name string, found *owner) error {
	data, err := accounts(u.Group, "/etc/group", "group", name)
	if err != nil {
		return err
	}
	groups, err := user.ParseGroupFilter(bytes.NewReader(data), func(g user.Group) bool { return g.Name == name })
	if err != nil {
		return fmt.Errorf("read /etc/group: %w", err)
	}
	if len(groups) == 0 {
		warn(ctx, "group %q is not in /etc/group of the image: the group stays %d", name, found.gid)
		return nil
	}
	found.gid = groups[0].Gid
	return nil
}

// accounts reads a file of users or groups. One that is not there is empty.
func accounts(root, file, kind, name string) ([]byte, error) {
	if root == "" {
		return nil, errdefs.New(errdefs.ErrInvalid, "%s %q cannot be looked up: the stage has no files yet (use a number)", kind, name)
	}
	data, err := safepath.ReadFileIn(root, file, maxAccounts)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look up %s %q: %w", kind, name, err)
	}
	return data, nil
}

// warn writes a line to the log of the step.
func warn(ctx context.Context, format string, args ...any) {
	stdout, stderr, flush := logs.NewLogStreams(ctx, false)
	fmt.Fprintf(stderr, "warning: "+format+"\n", args...)
	stderr.Close()
	stdout.Close()
	flush()
}
