package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// buildKit is the real BuildKit as a peer: it takes part in the rows of builds only. Its daemon runs already, as root.
func buildKit(at places) (*peer, error) {
	client, address := os.Getenv("BUILDCTL"), os.Getenv("BUILDKIT_ADDR")
	if client == "" || address == "" {
		return nil, fmt.Errorf("it is not running")
	}
	line := append(append([]string{}, at.drop...), "env", "HOME="+at.home("wherry"), at.self, "-agent")
	a, err := startAgent(nil, line...)
	if err != nil {
		return nil, err
	}
	p := &peer{name: "buildkit", agent: a, binary: client, address: address, tarball: filepath.Join(at.dir, "busybox.tar")}
	out, err := p.do(p.cmd("--version")...)
	if words := strings.Fields(out); err == nil && len(words) > 2 {
		p.version = strings.TrimPrefix(words[2], "v")
	}
	return p, err
}

// build is the command line that builds the context dir, and for an engine stores the image under name. BuildKit keeps the
// result in its cache, which is less work.
func (p *peer) build(dir, name string, fresh bool) []string {
	if p.name == "buildkit" {
		args := p.cmd("--addr", p.address, "build", "--progress", "plain", "--frontend", "dockerfile.v0", "--local", "context="+dir, "--local", "dockerfile="+dir)
		if fresh {
			args = append(args, "--no-cache")
		}
		return args
	}
	args := p.cmd("build", "-q", "-t", "localhost/bench-"+name)
	if p.name == "podman" {
		args = append(args, "--layers")
	}
	if fresh {
		args = append(args, "--no-cache")
	}
	return append(args, dir)
}

// builders are the peers of the rows of builds.
var builders = []string{"wherry", "podman", "buildkit"}

const (
	copiedFiles = 10000
	manyBuilds  = 8
)

// buildRows are those of image builds.
func buildRows(at places) []row {
	dir := func(name string) string { return filepath.Join(at.dir, "build", name) }
	clean := func(name string) func(*peer, int) [][]string {
		return func(p *peer, _ int) [][]string {
			if p.name == "buildkit" {
				return [][]string{p.cmd("--addr", p.address, "prune", "--all")}
			}
			return [][]string{p.cmd("rmi", "-f", "localhost/bench-"+name), p.cmd("image", "prune", "-f")}
		}
	}
	fresh := func(name string) func(*peer, int) job {
		return func(p *peer, _ int) job { return once(p.build(dir(name), name, true)) }
	}
	return []row{
		{name: "bnoop", title: "build, nothing to do", limit: 120 * time.Millisecond, warm: true, peers: builders,
			prepare: func(*peer) error { return writeSteps(dir("noop"), at) },
			job:     func(p *peer, _ int) job { return once(p.build(dir("noop"), "noop", false)) }},
		{name: "bsmall", title: fmt.Sprintf("build: COPY of %d small files", copiedFiles), rounds: 3, peers: builders,
			prepare: func(*peer) error { return writeContext(dir("small"), copiedFiles, 0) }, job: fresh("small"), after: clean("small"), against: noSlowerThan("buildkit")},
		{name: "bbig", title: "build: COPY of one file of 1 GB", rounds: 3, peers: builders,
			prepare: func(*peer) error { return writeContext(dir("big"), 0, 1<<30) }, job: fresh("big"), after: clean("big"), against: noSlowerThan("buildkit")},
		{name: "bstages", title: "build: four stages, three of them independent", rounds: 3, peers: builders,
			prepare: func(*peer) error { return writeStages(dir("stages"), at) }, job: fresh("stages"), after: clean("stages"),
			against: atMost(0.6, "podman")},
		{name: "bmany", title: fmt.Sprintf("%d builds of different contexts at once", manyBuilds), rounds: 3, peers: builders,
			prepare: func(*peer) error { return writeMany(dir("many"), at) },
			job: func(p *peer, _ int) job {
				j := job{Parallel: manyBuilds}
				for i := range manyBuilds {
					j.Argvs = append(j.Argvs, p.build(filepath.Join(dir("many"), strconv.Itoa(i)), "many"+strconv.Itoa(i), true))
				}
				return j
			},
			after: func(p *peer, _ int) [][]string {
				var all [][]string
				for i := range manyBuilds {
					all = append(all, clean("many"+strconv.Itoa(i))(p, 0)[0])
				}
				return all
			}, against: noSlowerThan("podman")},
	}
}

// atMost asks that wherry's median is at most that part of the other's.
func atMost(part float64, other string) func(map[string]float64) string {
	return func(medians map[string]float64) string {
		if theirs, ok := medians[other]; ok && medians["wherry"] > part*theirs {
			return fmt.Sprintf("more than %.1f of %s's", part, other)
		}
		return ""
	}
}

// ownBase is the beginning of a Dockerfile that needs no image: the same for engines with stores of their own.
const ownBase = "FROM scratch AS base\nADD busybox.tar /\n"

func writeDockerfile(dir, text string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644)
}

// withBase writes a Dockerfile on ownBase with its context.
func withBase(dir, text string, at places) error {
	if err := writeDockerfile(dir, ownBase+text); err != nil {
		return err
	}
	tarball, err := os.ReadFile(filepath.Join(at.dir, "busybox.tar"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "busybox.tar"), tarball, 0o644)
}

func writeSteps(dir string, at places) error {
	return withBase(dir, "RUN echo one > /one\nWORKDIR /w\nCOPY Dockerfile .\nRUN cat Dockerfile > copy\nENV A=b\nCMD [\"sh\"]\n", at)
}

func writeStages(dir string, at places) error {
	text := ""
	for _, name := range []string{"a", "b", "c"} {
		text += fmt.Sprintf("FROM base AS %s\nRUN sleep 1; echo %s > /%s\nRUN sleep 0.5; echo %s >> /%s\n", name, name, name, name, name)
	}
	return withBase(dir, text+"FROM base\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\n", at)
}

func writeMany(dir string, at places) error {
	for i := range manyBuilds {
		text := fmt.Sprintf("RUN i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; echo %d > /n\nRUN head -c 4000000 /dev/urandom > /r\n", i)
		if err := withBase(filepath.Join(dir, strconv.Itoa(i)), text, at); err != nil {
			return err
		}
	}
	return nil
}

// writeContext writes a context of small files, or one of size bytes, that is copied whole.
func writeContext(dir string, files int, size int64) error {
	if err := writeDockerfile(dir, "FROM scratch\nCOPY data /data\n"); err != nil {
		return err
	}
	for i := range files {
		sub := filepath.Join(dir, "data", strconv.Itoa(i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), []byte(strings.Repeat(strconv.Itoa(i)+"\n", 100)), 0o644); err != nil {
			return err
		}
	}
	if size > 0 {
		return writeRandom(filepath.Join(dir, "data"), size)
	}
	return nil
}
