package solver

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/content"
)

// definition marshals a state as frontends do.
func definition(t testing.TB, s llb.State) *pb.Definition {
	t.Helper()
	d, err := s.Marshal(context.Background(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	return d.ToPB()
}

// raw is a definition of operations that no library would make: each one's input is the one before, the last is the
// result.
func raw(ops ...*pb.Op) *pb.Definition {
	d := &pb.Definition{}
	var before digest.Digest
	for i, op := range append(ops, &pb.Op{}) {
		if i > 0 && op.Inputs == nil {
			op.Inputs = []*pb.Input{{Digest: string(before)}}
		}
		data, _ := op.Marshal()
		before = digest.FromBytes(data)
		d.Def = append(d.Def, data)
	}
	return d
}

func TestLoad(t *testing.T) {
	image := llb.Image("docker.io/library/busybox:latest")
	run := image.Run(llb.Shlex("make all"), llb.AddMount("/src", llb.Local("context"), llb.Readonly))
	e, err := Load(definition(t, run.Root().File(llb.Copy(image, "/a", "/b"))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if name := e.Vertex.Name(); name != "copy /a /b" {
		t.Errorf("the last vertex is %q", name)
	}
	before := e.Vertex.Inputs[0].Vertex
	if before.Name() != "make all" || len(before.Inputs) != 2 {
		t.Errorf("the one before is %q with %d inputs", before.Name(), len(before.Inputs))
	}
	if e.Vertex.Inputs[1].Vertex != before.Inputs[0].Vertex {
		t.Error("an image that is used twice is two vertices")
	}
}

func TestLoadRefuses(t *testing.T) {
	source := func() *pb.Op { return &pb.Op{Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "local://x"}}} }
	exec := func(change func(*pb.ExecOp)) *pb.Op {
		e := &pb.ExecOp{Meta: &pb.Meta{Args: []string{"true"}}, Mounts: []*pb.Mount{{Dest: "/", Output: 0}}}
		change(e)
		return &pb.Op{Op: &pb.Op_Exec{Exec: e}}
	}
	file := func(a *pb.FileAction) *pb.Op {
		return &pb.Op{Op: &pb.Op_File{File: &pb.FileOp{Actions: []*pb.FileAction{a}}}}
	}
	mkdir := &pb.FileAction_Mkdir{Mkdir: &pb.FileActionMkDir{Path: "/x"}}
	for text, def := range map[string]*pb.Definition{
		"no last vertex":                 {},
		"is missing":                     {Def: [][]byte{mustMarshal(&pb.Op{Inputs: []*pb.Input{{Digest: "sha256:0"}}})}},
		"not supported":                  raw(source(), &pb.Op{Op: &pb.Op_Build{Build: &pb.BuildOp{}}}),
		"without identifier":             raw(&pb.Op{Op: &pb.Op_Source{Source: &pb.SourceOp{}}}),
		"no command":                     raw(source(), exec(func(e *pb.ExecOp) { e.Meta.Args = nil })),
		"no mounts":                      raw(source(), exec(func(e *pb.ExecOp) { e.Mounts = nil })),
		"no root mount":                  raw(source(), exec(func(e *pb.ExecOp) { e.Mounts[0].Dest = "/x" })),
		"mount of an input that is not":  raw(source(), exec(func(e *pb.ExecOp) { e.Mounts[0].Input = 7 })),
		"invalid output":                 raw(source(), exec(func(e *pb.ExecOp) { e.Mounts[0].Output = 1 << 40 })),
		"action on an input that is not": raw(source(), file(&pb.FileAction{Input: 1, SecondaryInput: -1, Action: mkdir})),
		"an action that is not known":    raw(source(), file(&pb.FileAction{SecondaryInput: -1})),
		"merge needs two":                raw(source(), &pb.Op{Op: &pb.Op_Merge{Merge: &pb.MergeOp{}}}),
		"diff with an input":             raw(source(), &pb.Op{Op: &pb.Op_Diff{Diff: &pb.DiffOp{Lower: &pb.LowerDiffInput{Input: 5}, Upper: &pb.UpperDiffInput{}}}}),
		"which has 1":                    raw(source(), &pb.Op{Inputs: []*pb.Input{{Digest: string(digest.FromBytes(mustMarshal(source()))), Index: 3}}}),
		"has a place in no source": {Def: raw(source()).Def, Source: &pb.Source{Locations: map[string]*pb.Locations{
			"x": {Locations: []*pb.Location{{SourceIndex: 1}}}}}},
	} {
		if _, err := Load(def, nil); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
	}
}

func mustMarshal(op *pb.Op) []byte {
	data, err := op.Marshal()
	if err != nil {
		panic(err)
	}
	return data
}

// FuzzLoad: whatever a client sends, what Load accepts can be named, keyed and counted without a panic.
func FuzzLoad(f *testing.F) {
	image := llb.Image("busybox")
	for _, s := range []llb.State{
		image, image.Run(llb.Shlex("a b"), llb.AddMount("/m", llb.Scratch(), llb.AsPersistentCacheDir("x", llb.CacheMountShared))).Root(),
		llb.Scratch().File(llb.Mkdir("/x", 0o755).Mkfile("/x/y", 0o644, []byte("z")).Copy(image, "/a", "/b")),
		llb.Merge([]llb.State{image, llb.Scratch().File(llb.Rm("/x"))}), llb.Diff(image, image.File(llb.Mkdir("/x", 0o755))),
	} {
		data, _ := definition(f, s).MarshalVT()
		f.Add(data)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		def := &pb.Definition{}
		if def.UnmarshalVT(data) != nil {
			return
		}
		e, err := Load(def, nil)
		if err != nil {
			return
		}
		seen := map[*Vertex]bool{}
		var walk func(v *Vertex)
		walk = func(v *Vertex) {
			if seen[v] {
				return
			}
			seen[v] = true
			_ = v.Name()
			op := (&Worker{}).op(v)
			if _, ok := op.(*sourceOp); !ok {
				if k, err := op.Key(context.Background(), Surroundings{Vertex: v}); err == nil && len(k.Inputs) > len(v.Inputs) {
					panic("a key with more inputs than the vertex has")
				}
			}
			for _, in := range v.Inputs {
				walk(in.Vertex)
			}
		}
		walk(e.Vertex)
	})
}

func TestKeys(t *testing.T) {
	image, local := llb.Image("busybox"), llb.Local("context")
	key := func(s llb.State) (Key, *Vertex) {
		t.Helper()
		e, err := Load(definition(t, s), nil)
		if err != nil {
			t.Fatal(err)
		}
		k, err := (&Worker{}).op(e.Vertex).Key(context.Background(), Surroundings{Vertex: e.Vertex})
		if err != nil {
			t.Fatal(err)
		}
		return k, e.Vertex
	}
	selectors := func(k Key) (out [][]content.Selector) {
		for _, in := range k.Inputs {
			out = append(out, in.Selectors)
		}
		return out
	}

	k, _ := key(image.File(llb.Copy(local, "/sub/*.c", "/src/", &llb.CopyInfo{AllowWildcard: true, ExcludePatterns: []string{"x"}})))
	if s := selectors(k); len(s) != 2 || len(s[0]) != 0 || len(s[1]) != 1 || s[1][0].Path != "/sub/*.c" || !s[1][0].Wildcard || s[1][0].ExcludePatterns[0] != "x" {
		t.Errorf("COPY: the base must count by its key, the source by what is copied: %+v", s)
	}
	k, _ = key(image.File(llb.Copy(local, "/a", "/b", llb.WithUser("web"))))
	if s := selectors(k); len(s[0]) != 0 {
		t.Errorf("COPY --chown=NAME: the base counts as a whole already: %+v", s)
	}

	mounted := func(o ...llb.MountOption) [][]content.Selector {
		k, _ := key(image.Run(llb.Shlex("true"), llb.AddMount("/m", local, o...)).Root())
		return selectors(k)
	}
	if s := mounted(llb.Readonly, llb.SourcePath("sub")); len(s) != 2 || len(s[0]) != 0 || len(s[1]) != 1 || s[1][0].Path != "/sub" {
		t.Errorf("a mount that is only read must count by what is seen of it: %+v", s)
	}
	if s := mounted(llb.SourcePath("sub")); len(s) > 1 && len(s[1]) != 0 {
		t.Errorf("a part that is written to must count by the key of the whole: %+v", s)
	}

	run := func(o ...llb.RunOption) digest.Digest {
		k, _ := key(image.Run(append(o, llb.Shlex("true"))...).Root())
		return k.Digest
	}
	plain := run()
	proxied := run(llb.WithProxy(llb.ProxyEnv{HTTPProxy: "http://proxy"}))
	if plain != proxied {
		t.Error("a proxy changes the key")
	}
	if plain == run(llb.Network(llb.NetModeNone)) || plain == run(llb.AddEnv("A", "b")) {
		t.Error("the network or the environment does not change the key")
	}
	cache := func(id string) digest.Digest {
		return run(llb.AddMount("/c", llb.Scratch(), llb.AsPersistentCacheDir(id, llb.CacheMountShared)))
	}
	if cache("a") != cache("b") {
		t.Error("which cache directory is used changes the key")
	}
}
