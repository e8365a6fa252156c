package source

import (
	"context"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Metadata says what a source stands for now, for a frontend that wants to know before it decides.
func Metadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, env *Env) (*sourceresolver.MetaResponse, error) {
	src, err := Identify(op, nil)
	if err != nil {
		return nil, err
	}
	res := &sourceresolver.MetaResponse{Op: op}
	switch s := src.(type) {
	case *registryImage:
		res.Image, err = s.metadata(ctx, env, opt.ImageOpt)
	case *repository:
		res.Git, err = s.metadata(ctx, env, opt.GitOpt)
	case *download:
		res.HTTP, err = s.metadata(ctx, env, opt.HTTPOpt)
	case *layoutImage:
		res.Image, err = s.metadata(ctx, env, opt.OCILayoutOpt)
	}
	return res, err
}

func (i *registryImage) metadata(ctx context.Context, env *Env, opt *sourceresolver.ResolveImageOpt) (*sourceresolver.ResolveImageResponse, error) {
	if opt != nil {
		if opt.AttestationChain || len(opt.ResolveAttestations) > 0 {
			return nil, errdefs.New(errdefs.ErrUnsupported, "attestations of image %s cannot be asked for", i.name)
		}
		i.platform = specPlatform(opt.Platform)
		pull, err := asksRegistry(opt.ResolveMode)
		if err != nil {
			return nil, err
		}
		i.pull = i.pull || pull
	}
	found, err := i.find(ctx, env)
	if err != nil {
		return nil, err
	}
	return &sourceresolver.ResolveImageResponse{Digest: found.Digest, Config: found.Config}, nil
}
