package control

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/attestations"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	bksolver "github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/llbsolver/provenance"
	provenancetypes "github.com/moby/buildkit/solver/llbsolver/provenance/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/opencontainers/go-digest"

	bridge "github.com/wherry-containers/wherry/buildah/gateway"
	"github.com/wherry-containers/wherry/buildah/solver"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// provenanceAsked is the statement that the client wants; nil is none.
func provenanceAsked(req *controlapi.SolveRequest) (*statement, error) {
	asked, err := attestations.Parse(req.FrontendAttrs)
	if err != nil {
		return nil, err
	}
	attrs, ok := asked[attestations.KeyTypeProvenance]
	if !ok {
		return nil, nil
	}
	how, err := parseStatement(attrs)
	return &how, err
}

// attest adds to a result a statement of how it came about. What software is in it the frontend has found out.
func (s *Server) attest(ctx context.Context, b *build, res *gateway.Result, how statement) error {
	all, err := exptypes.ParsePlatforms(res.Metadata)
	if err != nil {
		return err
	}
	for _, p := range all.Platforms {
		found, _ := res.FindRef(p.ID)
		ref, ok := found.(*bridge.Ref)
		if !ok {
			continue
		}
		about, err := s.statement(ctx, b, ref, how)
		if err != nil {
			return err
		}
		res.AddAttestation(p.ID, result.Attestation[gateway.Reference]{
			Kind: gwpb.AttestationKind_InToto, Path: how.file, InToto: result.InTotoAttestation{PredicateType: how.predicateType()},
			Metadata: map[string][]byte{
				result.AttestationReasonKey:     []byte(result.AttestationReasonProvenance),
				result.AttestationInlineOnlyKey: []byte(strconv.FormatBool(how.inlineOnly)),
			},
			ContentFunc: func(context.Context) ([]byte, error) {
				now := time.Now()
				about.RunDetails.Metadata.FinishedOn = &now
				if how.old {
					return json.MarshalIndent(about.ConvertToSLSA02(), "", "  ")
				}
				return json.MarshalIndent(about, "", "  ")
			},
		})
	}
	return nil
}

// statement says what a statement of provenance has in it.
type statement struct {
	file         string
	builder      string
	max          bool
	old          bool // version 0.2
	inlineOnly   bool
	reproducible bool
}

func (h statement) predicateType() string {
	if h.old {
		return slsa02.PredicateSLSAProvenance
	}
	return slsa1.PredicateSLSAProvenance
}

func parseStatement(attrs map[string]string) (statement, error) {
	h := statement{file: "provenance.json", max: true}
	for key, value := range attrs {
		var err error
		switch key {
		case "mode":
			switch value {
			case "min":
				h.max = false
			case "max", "full":
			default:
				err = errors.New("want min or max")
			}
		case "version":
			v := provenancetypes.ProvenanceSLSA(value)
			err = v.Validate()
			h.old = v == provenancetypes.ProvenanceSLSA02
		case "builder-id":
			h.builder = value
		case "filename":
			h.file = value
		case "inline-only":
			h.inlineOnly, err = strconv.ParseBool(value)
		case "reproducible":
			h.reproducible, err = strconv.ParseBool(value)
		default:
			err = errors.New("there is no such setting")
		}
		if err != nil {
			return h, errdefs.New(errdefs.ErrInvalid, "provenance: %s=%s: %v", key, value, err)
		}
	}
	return h, nil
}

// statement makes it, by BuildKit's own library.
func (s *Server) statement(ctx context.Context, b *build, ref *bridge.Ref, how statement) (*provenancetypes.ProvenancePredicateSLSA1, error) {
	seen := &provenance.Capture{Request: provenancetypes.Parameters{Frontend: b.req.Frontend, Args: provenance.FilterArgs(b.req.FrontendAttrs)}}
	if err := b.job.Walk(ctx, ref.Edge(), func(v *solver.Vertex, pin string) { capture(seen, v, pin) }); err != nil {
		return nil, err
	}
	if err := seen.OptimizeImageSources(); err != nil {
		return nil, err
	}
	seen.Sort()
	about, err := provenance.NewPredicate(seen)
	if err != nil {
		return nil, err
	}
	m := about.RunDetails.Metadata
	m.StartedOn, m.Reproducible, m.InvocationID = &b.created, how.reproducible, b.ref
	about.RunDetails.Builder.ID = how.builder
	if how.max {
		_, err = provenance.AddBuildConfig(ctx, about, seen, definition{def: ref.Definition()}, false)
		return about, err
	}
	hide(&about.BuildDefinition.ExternalParameters.Request, m)
	return about, nil
}

// hide leaves out what a short statement does not tell: arguments, labels, names of secrets.
func hide(p *provenancetypes.Parameters, m *provenancetypes.ProvenanceMetadataSLSA1) {
	for name := range p.Args {
		if strings.HasPrefix(name, "build-arg:") || strings.HasPrefix(name, "label:") {
			delete(p.Args, name)
			m.Completeness.Request = false
		}
	}
	p.Secrets, p.SSH = nil, nil
}

// capture notes what a step took from outside.
func capture(c *provenance.Capture, v *solver.Vertex, pin string) {
	switch op := v.Op.Op.(type) {
	case *pb.Op_Source:
		captureSource(c, v, op.Source, pin)
	case *pb.Op_Exec:
		c.NetworkAccess = c.NetworkAccess || op.Exec.Network != pb.NetMode_NONE
		for _, m := range op.Exec.Mounts {
			switch m.MountType {
			case pb.MountType_SECRET:
				c.AddSecret(provenancetypes.Secret{ID: m.SecretOpt.GetID(), Optional: m.SecretOpt.GetOptional()})
			case pb.MountType_SSH:
				c.AddSSH(provenancetypes.SSH{ID: m.SSHOpt.GetID(), Optional: m.SSHOpt.GetOptional()})
			}
		}
		for _, e := range op.Exec.Secretenv {
			c.AddSecret(provenancetypes.Secret{ID: e.GetID(), Optional: e.GetOptional()})
		}
	}
}

func captureSource(c *provenance.Capture, v *solver.Vertex, op *pb.SourceOp, pin string) {
	scheme, rest, _ := strings.Cut(op.Identifier, "://")
	switch scheme {
	case "local":
		c.AddLocal(provenancetypes.LocalSource{Name: rest})
	case "docker-image", "oci-layout":
		p := v.Op.Platform.Spec()
		c.AddImage(provenancetypes.ImageSource{Ref: rest, Platform: &p, Digest: digest.Digest(pin), Local: scheme == "oci-layout"})
	case "git":
		remote := op.Attrs[pb.AttrFullRemoteURL]
		if remote == "" {
			remote = rest
		}
		if _, ref, ok := strings.Cut(rest, "#"); ok {
			remote += "#" + ref
		}
		c.AddGit(provenancetypes.GitSource{URL: remote, Commit: pin})
	case "http", "https":
		c.AddHTTP(provenancetypes.HTTPSource{URL: op.Identifier, Digest: digest.Digest(pin)})
	default:
		c.IncompleteMaterials = true
	}
}

// definition is a result of which BuildKit's library only asks the definition.
type definition struct {
	bksolver.ResultProxy
	def *pb.Definition
}

// Definition is what the result was made of.
func (d definition) Definition() *pb.Definition { return d.def }
