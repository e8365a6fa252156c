package solver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/progress/logs"
	"github.com/moby/buildkit/util/system"

	"github.com/wherry-containers/wherry/buildah/content"
	"github.com/wherry-containers/wherry/buildah/run"
	"github.com/wherry-containers/wherry/buildah/tree"
)

// execOp runs a command.
type execOp struct {
	op       *pb.ExecOp
	platform *pb.Platform
}

// Key leaves out what has no part in the result: addresses of other hosts, the proxies, which cache directories are used.
func (e *execOp) Key(context.Context, Surroundings) (Key, error) {
	op := e.op.CloneVT()
	for _, h := range op.Meta.ExtraHosts {
		h.IP = ""
	}
	op.Meta.ProxyEnv = nil
	for _, m := range op.Mounts {
		if m.CacheOpt != nil {
			m.CacheOpt = &pb.CacheOpt{}
		}
	}
	description, err := json.Marshal(struct {
		Exec     *pb.ExecOp
		Platform *pb.Platform
	}{op, e.platform})
	if err != nil {
		return Key{}, err
	}
	return Key{Digest: opDigest("exec", description), Inputs: e.inputs()}, nil
}

// inputs says how the mounted inputs count. One that the command can only read counts by what it sees of it; so does
// one that is mounted as a whole. The root counts by its key: its content is large, and changes whenever its key does.
func (e *execOp) inputs() []InputKey {
	type use struct {
		selectors []content.Selector
		byKey     bool
	}
	uses := map[int64]*use{}
	last := int64(-1)
	for _, m := range e.op.Mounts {
		if m.Input < 0 || !takesTree(m) {
			continue
		}
		last = max(last, m.Input)
		u := uses[m.Input]
		if u == nil {
			u = &use{}
			uses[m.Input] = u
		}
		sel := path.Join("/", m.Selector)
		whole := sel == "/"
		reads := !makes(m) || m.Readonly
		if !reads && !whole || m.Dest == pb.RootMount && m.ContentCache == pb.MountContentCache_DEFAULT || m.ContentCache == pb.MountContentCache_OFF {
			u.byKey = true
		}
		u.selectors = append(u.selectors, content.Selector{Path: sel, FollowLinks: true})
	}
	keys := make([]InputKey, last+1)
	for i, u := range uses {
		if !u.byKey {
			keys[i].Selectors = u.selectors
		}
	}
	return keys
}

// takesTree tells whether a mount shows an input.
func takesTree(m *pb.Mount) bool {
	return m.MountType == pb.MountType_BIND || m.MountType == pb.MountType_CACHE
}

// Run runs the command and commits what it wrote.
func (e *execOp) Run(ctx context.Context, s Surroundings, inputs []*tree.Tree) ([]*tree.Tree, error) {
	var outputs []*tree.Tree
	err := s.InSlot(ctx, func() (err error) {
		outputs, err = e.run(ctx, s, inputs)
		return err
	})
	return outputs, err
}

func (e *execOp) run(ctx context.Context, s Surroundings, inputs []*tree.Tree) (_ []*tree.Tree, err error) {
	p := newPlaces(s)
	defer func() { err = errors.Join(err, p.close()) }()
	step := run.Step{
		Meta: e.op.Meta.CloneVT(), Network: e.op.Network, Security: e.op.Security, Platform: e.platform, Devices: e.op.CdiDevices,
		Allowed: s.Job.Allowed, Limits: run.LimitsOf(s.Vertex.Metadata.GetLinuxResources()), Networks: s.Networks, DNS: s.DNS,
	}
	root, err := e.mount(ctx, s, p, inputs, &step)
	if err != nil {
		return nil, err
	}
	step.Meta.Env = e.environment()
	if step.SecretEnv, err = e.secretEnv(ctx, s); err != nil {
		return nil, err
	}
	stdout, stderr, flush := logs.NewLogStreams(ctx, false)
	defer stdout.Close()
	defer stderr.Close()
	step.Stdout, step.Stderr = stdout, stderr
	if err := s.Runner.Run(ctx, root, step); err != nil {
		flush()
		return nil, commandError(ctx, e.op.Meta.Args, err)
	}
	return e.commit(ctx, s, p, inputs)
}

// commandError says what BuildKit says of a command that failed, in an error that carries its status to the client.
func commandError(ctx context.Context, args []string, err error) error {
	var exit *run.ExitError
	if errors.As(err, &exit) {
		err = &gwpb.ExitError{ExitCode: exit.Code, Err: exit.Err}
	} else if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("process %q did not complete successfully: %w", strings.Join(args, " "), err)
}

// mount brings everything to where the command will see it, and returns the directory of the root.
func (e *execOp) mount(ctx context.Context, s Surroundings, p *places, inputs []*tree.Tree, step *run.Step) (root string, err error) {
	caches, err := cacheDirs(ctx, s, p, e.op.Mounts, inputs)
	if err != nil {
		return "", err
	}
	for i, m := range e.op.Mounts {
		var in *tree.Tree
		if m.Input >= 0 {
			in = inputs[m.Input]
		}
		out := run.Mount{Target: m.Dest, Type: m.MountType, Selector: m.Selector, ReadOnly: m.Readonly}
		switch m.MountType {
		case pb.MountType_BIND:
			out.Source, err = e.bind(ctx, p, i, m, in)
		case pb.MountType_CACHE:
			out.Source = caches[i]
		case pb.MountType_TMPFS:
			out.Size = m.TmpfsOpt.GetSize()
		case pb.MountType_SECRET:
			err = secretMount(ctx, s, m.SecretOpt, &out)
		case pb.MountType_SSH:
			err = sshMount(ctx, s, p, m.SSHOpt, &out)
		default:
			err = fmt.Errorf("mount %s is of an unknown type", m.Dest)
		}
		if errors.Is(err, errNotThere) {
			continue
		}
		if err != nil {
			return "", err
		}
		if m.Dest == pb.RootMount {
			root, step.ReadOnlyRoot = out.Source, m.Readonly
			continue
		}
		step.Mounts = append(step.Mounts, out)
	}
	return root, nil
}

// bind mounts an input: read-only as it is, else below a draft, which is given up where nobody wants it.
func (e *execOp) bind(ctx context.Context, p *places, i int, m *pb.Mount, in *tree.Tree) (string, error) {
	if m.Readonly && m.Dest != pb.RootMount { // in a root mount points are made, whatever the command may write to
		return p.view(ctx, in)
	}
	d, err := p.draft(ctx, in)
	if err != nil {
		return "", err
	}
	if makes(m) {
		p.outputs[i] = d
	}
	return d.Root(), nil
}

// commit makes the outputs of the drafts. Where the mount was read-only the input is the output.
func (e *execOp) commit(ctx context.Context, s Surroundings, p *places, inputs []*tree.Tree) ([]*tree.Tree, error) {
	var outputs []*tree.Tree
	for i, m := range e.op.Mounts {
		if !makes(m) {
			continue
		}
		var out *tree.Tree
		switch d := p.outputs[i]; {
		case d != nil:
			layers, err := p.commit(ctx, d, s.Vertex.Name())
			if err != nil {
				return nil, err
			}
			out = &tree.Tree{Layers: layers}
		case m.Input >= 0:
			in, err := p.layered(ctx, inputs[m.Input])
			if err != nil {
				return nil, err
			}
			out = in
		default:
			out = &tree.Tree{}
		}
		for len(outputs) <= int(m.Output) {
			outputs = append(outputs, &tree.Tree{})
		}
		outputs[m.Output] = out
	}
	return outputs, nil
}

// environment is the command's: with the proxies, and a search path where the image has none.
func (e *execOp) environment() []string {
	env := slices.Clone(e.op.Meta.Env)
	if p := e.op.Meta.ProxyEnv; p != nil {
		for _, v := range []struct{ name, value string }{
			{"HTTP_PROXY", p.HttpProxy}, {"HTTPS_PROXY", p.HttpsProxy}, {"FTP_PROXY", p.FtpProxy}, {"NO_PROXY", p.NoProxy}, {"ALL_PROXY", p.AllProxy},
		} {
			if v.value != "" {
				env = append(env, v.name+"="+v.value, strings.ToLower(v.name)+"="+v.value)
			}
		}
	}
	if !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		env = append(env, "PATH="+system.DefaultPathEnvUnix)
	}
	return env
}

func (e *execOp) secretEnv(ctx context.Context, s Surroundings) ([]string, error) {
	var env []string
	for _, v := range e.op.Secretenv {
		if v.GetID() == "" {
			return nil, fmt.Errorf("variable %q: the secret has no id", v.GetName())
		}
		data, err := secret(ctx, s, v.ID)
		if err != nil && !(v.Optional && errors.Is(err, secrets.ErrNotFound)) {
			return nil, err
		}
		env = append(env, v.Name+"="+string(data))
	}
	return env, nil
}

// secret asks the client for a secret.
func secret(ctx context.Context, s Surroundings, id string) (data []byte, err error) {
	err = s.Sessions.Any(ctx, s.Job.Session, func(ctx context.Context, _ string, caller session.Caller) error {
		data, err = secrets.GetSecret(ctx, caller, id)
		return err
	})
	return data, err
}

// errNotThere says that an optional mount is left out.
var errNotThere = errors.New("left out")
