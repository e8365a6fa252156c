package solver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Vertex is one step of a build's graph.
type Vertex struct {
	Digest   digest.Digest
	Op       *pb.Op
	Metadata *pb.OpMetadata
	Inputs   []Edge

	name string
}

// maxName bounds a name that is made of others: there is no bound to how often one graph holds a vertex.
const maxName = 200

// Edge is one output of a vertex.
type Edge struct {
	Vertex *Vertex
	Index  int
}

// Name is what users see of the vertex.
func (v *Vertex) Name() string {
	if v.name == "" {
		v.name = v.describe()
	}
	return v.name
}

func (v *Vertex) describe() string {
	if name := v.Metadata.GetDescription()["llb.customname"]; name != "" {
		return name
	}
	switch op := v.Op.Op.(type) {
	case *pb.Op_Source:
		return op.Source.Identifier
	case *pb.Op_Exec:
		return strings.Join(op.Exec.GetMeta().GetArgs(), " ")
	case *pb.Op_File:
		return fileName(op.File.Actions)
	case *pb.Op_Merge:
		names := make([]string, len(v.Inputs))
		for i, in := range v.Inputs {
			names[i] = clip(in.Vertex.Name())
		}
		return "merge (" + strings.Join(names, ", ") + ")"
	case *pb.Op_Diff:
		return "diff " + v.side(op.Diff.GetLower().GetInput()) + " -> " + v.side(op.Diff.GetUpper().GetInput())
	case *pb.Op_Passthrough:
		return "passthrough " + op.Passthrough.Id
	}
	return "unknown"
}

func (v *Vertex) side(input int64) string {
	if input < 0 || int(input) >= len(v.Inputs) {
		return "scratch"
	}
	return "(" + clip(v.Inputs[input].Vertex.Name()) + ")"
}

func clip(name string) string {
	if len(name) > maxName {
		return name[:maxName] + "…"
	}
	return name
}

func fileName(actions []*pb.FileAction) string {
	names := make([]string, 0, len(actions))
	for _, action := range actions {
		switch a := action.Action.(type) {
		case *pb.FileAction_Mkdir:
			names = append(names, "mkdir "+a.Mkdir.GetPath())
		case *pb.FileAction_Mkfile:
			names = append(names, "mkfile "+a.Mkfile.GetPath())
		case *pb.FileAction_Symlink:
			names = append(names, "symlink "+a.Symlink.GetNewpath()+" -> "+a.Symlink.GetOldpath())
		case *pb.FileAction_Rm:
			names = append(names, "rm "+a.Rm.GetPath())
		case *pb.FileAction_Copy:
			names = append(names, "copy "+a.Copy.GetSrc()+" "+a.Copy.GetDest())
		}
	}
	return strings.Join(names, ", ")
}

// Check is asked about every operation of a definition before anything is done.
type Check func(op *pb.Op) error

// Load reads a definition and returns the edge that it is about. The definition is hostile input: every index and
// digest in it is checked here, once.
func Load(def *pb.Definition, check Check) (Edge, error) {
	l := &loader{ops: map[string]*pb.Op{}, made: map[string]*Vertex{}, def: def, check: check, caps: pb.Caps.CapSet(pb.Caps.All())}
	var last *pb.Op
	for _, data := range def.GetDef() {
		op := &pb.Op{}
		if err := op.Unmarshal(data); err != nil {
			return Edge{}, fmt.Errorf("build definition: %w", err)
		}
		last = op
		l.ops[digest.FromBytes(data).String()] = op
	}
	if err := checkLocations(def.GetSource()); err != nil {
		return Edge{}, err
	}
	if last == nil || len(last.Inputs) == 0 || last.Op != nil {
		return Edge{}, errors.New("build definition: no last vertex that names the result")
	}
	return l.edge(last.Inputs[0])
}

func checkLocations(s *pb.Source) error {
	for id, locations := range s.GetLocations() {
		for _, l := range locations.GetLocations() {
			if l == nil || l.SourceIndex < 0 || int(l.SourceIndex) >= len(s.Infos) {
				return fmt.Errorf("build definition: vertex %s has a place in no source", id)
			}
		}
	}
	return nil
}

type loader struct {
	def   *pb.Definition
	ops   map[string]*pb.Op
	made  map[string]*Vertex
	caps  apicaps.CapSet
	check Check
}

// edge makes the vertex behind an input. A digest names what it is made of, so that there can be no cycle.
func (l *loader) edge(in *pb.Input) (Edge, error) {
	if in == nil || in.Index < 0 {
		return Edge{}, errors.New("build definition: invalid input")
	}
	v, err := l.vertex(in.Digest)
	if err != nil {
		return Edge{}, err
	}
	if n := outputs(v.Op); int(in.Index) >= n {
		return Edge{}, fmt.Errorf("build definition: output %d of %s, which has %d", in.Index, in.Digest, n)
	}
	return Edge{Vertex: v, Index: int(in.Index)}, nil
}

func (l *loader) vertex(id string) (*Vertex, error) {
	if v, ok := l.made[id]; ok {
		return v, nil
	}
	op, ok := l.ops[id]
	if !ok {
		return nil, fmt.Errorf("build definition: vertex %s is missing", id)
	}
	v := &Vertex{Digest: digest.Digest(id), Op: op, Metadata: l.def.GetMetadata()[id]}
	for need := range v.Metadata.GetCaps() {
		if err := l.caps.Supports(apicaps.CapID(need)); err != nil {
			return nil, err
		}
	}
	for _, in := range op.Inputs {
		e, err := l.edge(in)
		if err != nil {
			return nil, err
		}
		v.Inputs = append(v.Inputs, e)
	}
	if err := validate(op); err != nil {
		return nil, fmt.Errorf("build definition: %s: %w", v.Name(), err)
	}
	if l.check != nil {
		if err := l.check(op); err != nil {
			return nil, err
		}
	}
	op.Platform = normalPlatform(op.Platform)
	v.Name() // from here on several goroutines look at it
	l.made[id] = v
	return v, nil
}

func normalPlatform(p *pb.Platform) *pb.Platform {
	spec := platforms.DefaultSpec()
	if p != nil {
		spec = ocispecs.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures}
	}
	spec = platforms.Normalize(spec)
	return &pb.Platform{OS: spec.OS, Architecture: spec.Architecture, Variant: spec.Variant, OSVersion: spec.OSVersion, OSFeatures: spec.OSFeatures}
}

// outputs is how many results a valid operation has.
func outputs(op *pb.Op) int {
	last := int64(0)
	switch o := op.Op.(type) {
	case *pb.Op_Exec:
		last = -1
		for _, m := range o.Exec.GetMounts() {
			if makes(m) {
				last = max(last, m.Output)
			}
		}
	case *pb.Op_File:
		last = -1
		for _, a := range o.File.GetActions() {
			last = max(last, a.Output)
		}
	}
	return int(last) + 1
}
