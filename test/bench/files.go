package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	bigFile    = 1 << 30
	smallFiles = 20000
	smallDirs  = 200
)

// pair are the peers of rows that take long.
var pair = []string{"wherry", "podman"}

// fileRows are those of the verbs over a container's file system. They work on the idle container.
func fileRows(at places) []row {
	source := func(p *peer, name string) string { return filepath.Join(filepath.Dir(p.tarball), name) }
	clean := func(p *peer, _ int) [][]string {
		return [][]string{p.cmd("exec", idle, "rm", "-rf", "/copied"), {"rm", "-rf", outDir(p)}}
	}
	both := func(name string) func(*peer, int) job {
		return func(p *peer, _ int) job {
			return once(p.cmd("cp", source(p, name), idle+":/copied"), p.cmd("cp", idle+":/copied", outDir(p)))
		}
	}
	return []row{
		{name: "cpbig", title: "cp of 1 GB into a container and out again", rounds: 3, peers: pair, prepare: func(*peer) error { return writeBig(at.dir) },
			job: both("big"), after: clean, against: noSlowerThan("podman")},
		{name: "cpsmall", title: fmt.Sprintf("cp of %d small files into a container and out again", smallFiles), rounds: 3, peers: pair,
			prepare: func(*peer) error { return writeSmall(at.dir) }, job: both("small"), after: clean, against: noSlowerThan("podman")},
		{name: "diff", title: "diff of a container with 2000 new files", peers: engines, prepare: fillIdle,
			job: func(p *peer, _ int) job { return once(p.cmd("diff", idle)) }, against: noSlowerThan("podman")},
		{name: "export", title: "export of that container", peers: engines,
			job: func(p *peer, _ int) job {
				return once([]string{"sh", "-c", "exec " + p.binary + " export " + idle + " >/dev/null"})
			},
			against: noSlowerThan("podman")},
		{name: "commit", title: "commit of that container", rounds: 5, peers: engines,
			job: func(p *peer, round int) job {
				return once(p.cmd("commit", "-q", idle, "localhost/bench-commit:"+strconv.Itoa(round)))
			},
			after: func(p *peer, round int) [][]string {
				return [][]string{p.cmd("rmi", "localhost/bench-commit:"+strconv.Itoa(round))}
			},
			against: noSlowerThan("podman")},
		statsRow(),
		rmRow(),
	}
}

func outDir(p *peer) string { return "/tmp/wherry-bench-out-" + p.name }

func ofHundred(i int) string { return "bench-r" + strconv.Itoa(i) }

// startHundred starts 100 containers, unless the row before has.
func startHundred(p *peer) error {
	if _, err := p.do(p.cmd("inspect", ofHundred(0))...); err == nil {
		return nil
	}
	start := job{Parallel: 8}
	for i := range 100 {
		start.Argvs = append(start.Argvs, p.runArgs("-d", "--name", ofHundred(i), image, "sleep", "1000"))
	}
	_, err := p.time(start)
	return err
}

func statsRow() row {
	return row{
		name: "stats", title: "stats --no-stream of 100 running containers", limit: 60 * time.Millisecond, rounds: 5, warm: true, peers: pair,
		prepare: startHundred, job: func(p *peer, _ int) job { return once(p.cmd("stats", "--no-stream")) },
	}
}

// rmRow removes 100 running containers, 8 at once.
func rmRow() row {
	return row{
		name: "rmf", title: "rm -f of 100 running containers, 8 at once", limit: 900 * time.Millisecond, rounds: 1, peers: pair,
		prepare: startHundred,
		job: func(p *peer, _ int) job {
			remove := job{Parallel: 8}
			for i := range 100 {
				remove.Argvs = append(remove.Argvs, p.rm(ofHundred(i)))
			}
			return remove
		},
	}
}

// pruneRow takes the 1000 containers of the rows before it away. Podman gets as many first.
func pruneRow() row {
	fill := psRow("", 1000, 0, nil).prepare
	return row{name: "prune", title: "system prune of 1000 containers", rounds: 1, peers: pair, prepare: fill,
		job: func(p *peer, _ int) job { return once(p.cmd("system", "prune", "-f")) }, against: noSlowerThan("podman")}
}

// fillIdle makes new files in the idle container.
func fillIdle(p *peer) error {
	_, err := p.do(p.cmd("exec", idle, "sh", "-c", "mkdir -p /filled && cd /filled && for i in $(seq 2000); do head -c 20000 /bin/busybox >$i; done")...)
	return err
}

func writeBig(dir string) error { return writeRandom(filepath.Join(dir, "big"), bigFile) }

// writeRandom writes a file that is not there yet.
func writeRandom(path string, size int64) error {
	if info, err := os.Stat(path); err == nil && info.Size() == size {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	rand.Read(block)
	for range size / int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Chmod(0o644)
}

func writeSmall(dir string) error {
	content := make([]byte, 4000)
	for i := range smallFiles {
		sub := filepath.Join(dir, "small", strconv.Itoa(i%smallDirs))
		if i < smallDirs {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), content[:i%len(content)], 0o644); err != nil {
			return err
		}
	}
	return nil
}
