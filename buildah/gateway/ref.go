package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	solvererr "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// Ref is a result that a frontend holds. What it stands for is made when somebody asks for it.
type Ref struct {
	job  *solver.Job
	edge solver.Edge
	def  *pb.Definition
}

// Definition is what the reference was made of.
func (r *Ref) Definition() *pb.Definition { return r.def }

// Edge is what the reference stands for.
func (r *Ref) Edge() solver.Edge { return r.edge }

// Tree makes the result.
func (r *Ref) Tree(ctx context.Context) (*tree.Tree, error) {
	t, err := r.job.Result(ctx, r.edge)
	return t, r.located(err)
}

// Evaluate makes the result.
func (r *Ref) Evaluate(ctx context.Context) error {
	_, err := r.Tree(ctx)
	return err
}

// ToState is the reference for further definitions.
func (r *Ref) ToState() (llb.State, error) {
	op, err := llb.NewDefinitionOp(r.def)
	if err != nil {
		return llb.State{}, err
	}
	return llb.NewState(op), nil
}

// located adds to an error of a step where that is in the Dockerfile.
func (r *Ref) located(err error) error {
	var step *solvererr.VertexError
	if !errors.As(err, &step) || len(solvererr.Sources(err)) > 0 {
		return err
	}
	for _, l := range r.def.GetSource().GetLocations()[step.Digest].GetLocations() {
		err = solvererr.WithSource(err, &solvererr.Source{Info: r.def.Source.Infos[l.SourceIndex], Ranges: l.Ranges})
	}
	return solvererr.WithSolveError(err, nil, nil, nil)
}

// ReadFile reads a file of the result, or a part of it.
func (r *Ref) ReadFile(ctx context.Context, req client.ReadRequest) (data []byte, err error) {
	err = r.at(ctx, req.Filename, func(v *content.View, e *content.Entry) error {
		if !e.IsRegular() {
			return &os.PathError{Op: "read", Path: req.Filename, Err: errors.New("not a regular file")}
		}
		f, err := v.OpenEntry(e, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err = read(f, req)
		return err
	})
	return data, err
}

func read(f *os.File, req client.ReadRequest) ([]byte, error) {
	const most = defaults.DefaultMaxSendMsgSize
	from, length := int64(0), int64(most)+1
	if req.Range != nil {
		if req.Range.Offset < 0 || req.Range.Length < 0 {
			return nil, fmt.Errorf("invalid range of %s", req.Filename)
		}
		from, length = int64(req.Range.Offset), min(int64(req.Range.Length), length)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, from, length))
	if err == nil && len(data) > most && req.Range == nil {
		return nil, fmt.Errorf("%s exceeds maximum allowed size of %d bytes", req.Filename, most)
	}
	return data, err
}

// StatFile describes a file of the result.
func (r *Ref) StatFile(ctx context.Context, req client.StatRequest) (st *types.Stat, err error) {
	err = r.at(ctx, req.Path, func(v *content.View, e *content.Entry) error {
		st = stat(v, e)
		return nil
	})
	return st, err
}

// ReadDir describes the files in a directory of the result.
func (r *Ref) ReadDir(ctx context.Context, req client.ReadDirRequest) (list []*types.Stat, err error) {
	err = r.at(ctx, req.Path, func(v *content.View, e *content.Entry) error {
		entries, err := v.List(e)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if req.IncludePattern != "" {
				if ok, err := path.Match(req.IncludePattern, e.Name); err != nil || !ok {
					continue
				}
			}
			list = append(list, stat(v, e))
		}
		return nil
	})
	return list, err
}

// at looks at a path in the result.
func (r *Ref) at(ctx context.Context, name string, look func(*content.View, *content.Entry) error) error {
	err := r.job.View(ctx, r.edge, func(v *content.View) error {
		e, err := v.Lookup(name, true)
		if errors.Is(err, content.ErrNotFound) {
			return &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		if err != nil {
			return err
		}
		return look(v, e)
	})
	return r.located(err)
}

func stat(v *content.View, e *content.Entry) *types.Stat {
	uid, gid := v.Owner(e)
	st := &types.Stat{
		Path: e.Name, Mode: uint32(goMode(e.Stat.Mode)), Uid: uint32(uid), Gid: uint32(gid), Linkname: e.Target,
		ModTime: e.Stat.Mtim.Nano(), Devmajor: int64(unix.Major(e.Stat.Rdev)), Devminor: int64(unix.Minor(e.Stat.Rdev)),
	}
	if e.IsRegular() {
		st.Size = e.Stat.Size
	}
	return st
}

// goMode is a mode of the kernel as package os has it.
func goMode(m uint32) os.FileMode {
	mode := os.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= os.ModeDir
	case unix.S_IFLNK:
		mode |= os.ModeSymlink
	case unix.S_IFIFO:
		mode |= os.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= os.ModeSocket
	case unix.S_IFBLK:
		mode |= os.ModeDevice
	case unix.S_IFCHR:
		mode |= os.ModeDevice | os.ModeCharDevice
	}
	for bit, flag := range map[uint32]os.FileMode{unix.S_ISUID: os.ModeSetuid, unix.S_ISGID: os.ModeSetgid, unix.S_ISVTX: os.ModeSticky} {
		if m&bit != 0 {
			mode |= flag
		}
	}
	return mode
}
