package solver

import (
	"context"

	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/buildah/tree"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Container is a container of a frontend: what is mounted for it stays until it is closed, and nothing of it is kept.
type Container struct {
	job    *Job
	places *places
	root   string
	base   run.Step
}

// NewContainer mounts trees for a container; each mount's input is an index into trees, or pb.Empty. base has what is the same
// for all of its commands.
func (j *Job) NewContainer(ctx context.Context, mounts []*pb.Mount, trees []*tree.Tree, base run.Step) (_ *Container, err error) {
	s := Surroundings{Worker: j.worker, Job: j}
	c := &Container{job: j, places: newPlaces(s), base: base}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	for _, m := range mounts {
		m.Output = int64(pb.SkipOutput)
		if m.Input >= int64(len(trees)) {
			return nil, errdefs.New(errdefs.ErrInvalid, "mount %s has no such input", m.Dest)
		}
	}
	c.base.Allowed, c.base.Networks, c.base.DNS = j.Allowed, s.Networks, s.DNS
	op := &execOp{op: &pb.ExecOp{Mounts: mounts}}
	if c.root, err = op.mount(ctx, s, c.places, trees, &c.base); err != nil {
		return nil, err
	}
	if c.root == "" {
		return nil, errdefs.New(errdefs.ErrInvalid, "a container without a root file system")
	}
	return c, nil
}

// Command is the first command of the container, on its way to Run.
func (c *Container) Command(ctx context.Context, meta *pb.Meta, secrets []*pb.SecretEnv) (run.Step, error) {
	op := &execOp{op: &pb.ExecOp{Meta: meta, Secretenv: secrets}}
	step := c.base
	step.Meta = meta
	meta.Env = op.environment()
	var err error
	step.SecretEnv, err = op.secretEnv(ctx, Surroundings{Worker: c.job.worker, Job: c.job})
	return step, err
}

// Run runs the first command.
func (c *Container) Run(ctx context.Context, step run.Step) error {
	return c.job.worker.Runner.Run(ctx, c.root, step)
}

// Close unmounts what the container saw. Its commands have ended.
func (c *Container) Close() error { return c.places.close() }
