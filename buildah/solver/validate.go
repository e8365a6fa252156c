package solver

import (
	"errors"
	"fmt"
	"path"

	"github.com/moby/buildkit/solver/pb"
)

// maxOutputs bounds the numbers of outputs in a definition; the frontends use one for each mount or action.
const maxOutputs = 1 << 12

// validate checks what the operations rely on: that pointers are there and that numbers of inputs and outputs are in
// range.
func validate(op *pb.Op) error {
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		if o.Source == nil || o.Source.Identifier == "" {
			return errors.New("source without identifier")
		}
	case *pb.Op_Exec:
		return validateExec(o.Exec, len(op.Inputs))
	case *pb.Op_File:
		return validateFile(o.File, len(op.Inputs))
	case *pb.Op_Merge:
		if o.Merge == nil || len(o.Merge.Inputs) < 2 {
			return errors.New("merge needs two inputs or more")
		}
		for _, in := range o.Merge.Inputs {
			if in == nil || !inRange(in.Input, len(op.Inputs)) {
				return errors.New("merge with an input that is not there")
			}
		}
	case *pb.Op_Diff:
		return validateDiff(o.Diff, len(op.Inputs))
	case *pb.Op_Passthrough:
		if o.Passthrough == nil || len(op.Inputs) == 0 {
			return errors.New("nothing to pass through")
		}
	case *pb.Op_Build:
		return errors.New("builds within a build are not supported")
	default:
		return errors.New("an operation that is not known here")
	}
	return nil
}

// inRange says whether an index is one of n inputs or none at all.
func inRange(i int64, n int) bool { return i == int64(pb.Empty) || i >= 0 && i < int64(n) }

func validateDiff(d *pb.DiffOp, inputs int) error {
	if d == nil || d.Lower == nil || d.Upper == nil || !inRange(d.Lower.Input, inputs) || !inRange(d.Upper.Input, inputs) {
		return errors.New("diff with an input that is not there")
	}
	return nil
}

func validateExec(e *pb.ExecOp, inputs int) error {
	if e == nil || e.Meta == nil || len(e.Meta.Args) == 0 {
		return errors.New("no command")
	}
	if len(e.Mounts) == 0 {
		return errors.New("no mounts")
	}
	root, outs := false, map[int64]bool{}
	for _, m := range e.Mounts {
		if m == nil || !inRange(m.Input, inputs) {
			return errors.New("mount of an input that is not there")
		}
		if m.Dest == pb.RootMount && path.Join("/", m.Selector) != "/" {
			return errors.New("a part of a tree as the root is not supported")
		}
		root = root || m.Dest == pb.RootMount
		if !makes(m) {
			continue
		}
		if m.Output < 0 || m.Output >= maxOutputs || outs[m.Output] {
			return fmt.Errorf("mount %s with invalid output %d", m.Dest, m.Output)
		}
		outs[m.Output] = true
	}
	if !root {
		return errors.New("no root mount")
	}
	return nil
}

// makes tells whether a mount is an output. In those of other types the field says nothing.
func makes(m *pb.Mount) bool {
	return m.MountType == pb.MountType_BIND && m.Output != int64(pb.SkipOutput)
}

func validateFile(f *pb.FileOp, inputs int) error {
	if f == nil || len(f.Actions) == 0 {
		return errors.New("no actions")
	}
	outs := map[int64]bool{}
	for i, a := range f.Actions {
		// An action sees the inputs and the results of those before it.
		if a == nil || !inRange(a.Input, inputs+i) || !inRange(a.SecondaryInput, inputs+i) {
			return errors.New("action on an input that is not there")
		}
		if err := validateAction(a); err != nil {
			return err
		}
		if a.Output == int64(pb.SkipOutput) {
			continue
		}
		if a.Output < 0 || a.Output >= maxOutputs || outs[a.Output] {
			return fmt.Errorf("action with invalid output %d", a.Output)
		}
		outs[a.Output] = true
	}
	return nil
}

func validateAction(a *pb.FileAction) error {
	ok := false
	switch x := a.Action.(type) {
	case *pb.FileAction_Copy:
		ok = x.Copy != nil
	case *pb.FileAction_Mkdir:
		ok = x.Mkdir != nil
	case *pb.FileAction_Mkfile:
		ok = x.Mkfile != nil
	case *pb.FileAction_Rm:
		ok = x.Rm != nil
	case *pb.FileAction_Symlink:
		ok = x.Symlink != nil
	}
	if !ok {
		return errors.New("an action that is not known here")
	}
	return nil
}
