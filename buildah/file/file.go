// Package file carries out the file operations of a build (copy, mkfile, mkdir, rm, symlink) inside a tree that is being
// made, as BuildKit does. What is copied is seen through a content.View; nothing in either tree leads out of it.
package file

import (
	"context"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Users are the trees in which names of owners are looked up: root directories. One that is empty knows no name.
type Users struct {
	User  string // the input that UserInput of the action's owner names
	Group string
}

// Do carries out the action a in the tree below dst, a directory that nobody else writes to meanwhile. A copy takes its
// files from src; nil is the empty tree. The error is content.ErrChanged where src changed since its digest was made: all
// is copied then, but must not be kept under a key that was made of the digest.
func Do(ctx context.Context, a *pb.FileAction, dst string, src *content.View, users Users) error {
	t, err := openTarget(dst)
	if err != nil {
		return err
	}
	defer t.close()
	switch act := a.Action.(type) {
	case *pb.FileAction_Copy:
		return t.copyAction(ctx, act.Copy, src, users)
	case *pb.FileAction_Mkfile:
		return t.mkfile(ctx, act.Mkfile, users)
	case *pb.FileAction_Mkdir:
		return t.mkdir(ctx, act.Mkdir, users)
	case *pb.FileAction_Rm:
		return t.rm(ctx, act.Rm)
	case *pb.FileAction_Symlink:
		return t.symlink(ctx, act.Symlink, users)
	}
	return errdefs.New(errdefs.ErrUnsupported, "unknown file action %T", a.Action)
}

// Owners are the inputs in which the action looks up names of a user and of a group; -1 is none.
func Owners(a *pb.FileAction) (user, group int) {
	o := ownerOf(a)
	return nameInput(o.GetUser()), nameInput(o.GetGroup())
}

func nameInput(u *pb.UserOpt) int {
	if by, ok := u.GetUser().(*pb.UserOpt_ByName); ok && by.ByName != nil {
		return int(by.ByName.Input)
	}
	return -1
}

func ownerOf(a *pb.FileAction) *pb.ChownOpt {
	switch act := a.Action.(type) {
	case *pb.FileAction_Copy:
		return act.Copy.GetOwner()
	case *pb.FileAction_Mkfile:
		return act.Mkfile.GetOwner()
	case *pb.FileAction_Mkdir:
		return act.Mkdir.GetOwner()
	case *pb.FileAction_Symlink:
		return act.Symlink.GetOwner()
	}
	return nil
}
