package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// row is one line of the table: what each peer does, and what is allowed.
type row struct {
	name    string // for BENCH=
	title   string
	limit   time.Duration                           // 0: none of its own
	rounds  int                                     // 0: as asked for
	warm    bool                                    // each timed job comes after an untimed one: another engine has just used caches and processors
	peers   []string                                // who takes part
	prepare func(p *peer) error                     // once, untimed
	job     func(p *peer, round int) job            // timed
	after   func(p *peer, round int) [][]string     // untimed
	against func(medians map[string]float64) string // a second condition: why it is not met, or empty
}

var engines = []string{"wherry", "podman", "podman5"}

// rows are those of the table, in an order in which the store only grows.
func rows(at places, size sizes) []row {
	all := []row{
		{name: "version", title: "--version", limit: 5 * time.Millisecond, warm: true, peers: append([]string{"crun"}, engines...),
			job: func(p *peer, _ int) job { return once(p.cmd("--version")) }},
		psRow("ps0", 0, 5*time.Millisecond, engines),
		{name: "run", title: "run --rm --network none busybox true", limit: 18 * time.Millisecond, warm: true,
			peers: append([]string{"crun"}, engines...), job: runTrue(at), against: noSlowerThan("crun")},
		{name: "exec", title: "exec true", limit: 12 * time.Millisecond, warm: true, peers: engines,
			job: func(p *peer, _ int) job { return once(p.cmd("exec", idle, "true")) }},
		{name: "rund", title: "run -d, then rm -f", limit: 30 * time.Millisecond, warm: true, peers: engines,
			job: func(p *peer, round int) job {
				name := "bench-d" + strconv.Itoa(round)
				return once(p.runArgs("-d", "--name", name, image, "sleep", "1000"), p.rm(name))
			}},
		manyRow(),
		logRow(size.logBytes),
		psRow("ps100", 100, 7*time.Millisecond, engines),
		psRow("ps1000", 1000, 12*time.Millisecond, []string{"wherry"}),
		growthRow(at, size.images),
	}
	return append(append(append(append(all, fileRows(at)...), buildRows(at)...), composeRows(at)...), pruneRow())
}

type sizes struct {
	logBytes int64
	images   int
}

func once(argvs ...[]string) job { return job{Argvs: argvs} }

// runTrue is the run of `true`: of an engine, or of crun alone on the same spec.
func runTrue(at places) func(*peer, int) job {
	return func(p *peer, round int) job {
		if p.name != "crun" {
			return once(p.runArgs("--rm", image, "true"))
		}
		return once(p.cmd("--root", p.state, "run", "--bundle", filepath.Join(at.home("wherry"), "bundle"),
			"bench-raw"+strconv.Itoa(round)))
	}
}

// noSlowerThan asks that wherry's median is at most the other's, where the other takes part.
func noSlowerThan(other string) func(map[string]float64) string {
	return func(medians map[string]float64) string {
		if theirs, ok := medians[other]; ok && medians["wherry"] > theirs {
			return "slower than " + other
		}
		return ""
	}
}

// psRow lists n containers; it creates those that are missing.
func psRow(name string, n int, limit time.Duration, peers []string) row {
	return row{
		name: name, title: fmt.Sprintf("ps -a, %d containers", n), limit: limit, peers: peers, warm: true,
		prepare: func(p *peer) error {
			if n == 0 {
				return nil // the idle container alone
			}
			out, err := p.do("sh", "-c", "exec "+p.binary+" ps -aq | wc -l")
			if err != nil {
				return err
			}
			have, err := strconv.Atoi(out)
			if err != nil {
				return err
			}
			var create job
			create.Parallel = 4
			for i := have; i < n; i++ {
				create.Argvs = append(create.Argvs, p.cmd("create", "--network", "none", "--name", "bench-c"+strconv.Itoa(i), image, "true"))
			}
			_, err = p.time(create)
			return err
		},
		job: func(p *peer, _ int) job { return once(p.cmd("ps", "-a")) },
	}
}

// manyRow starts 100 containers, 8 at once.
func manyRow() row {
	names := func(round int) (all []string) {
		for i := range 100 {
			all = append(all, fmt.Sprintf("bench-m%d-%d", round, i))
		}
		return all
	}
	return row{
		name: "many", title: "100 x run -d, 8 at once", limit: 1300 * time.Millisecond, rounds: 2, peers: engines,
		job: func(p *peer, round int) job {
			j := job{Parallel: 8}
			for _, name := range names(round) {
				j.Argvs = append(j.Argvs, p.runArgs("-d", "--name", name, image, "sleep", "1000"))
			}
			return j
		},
		after: func(p *peer, round int) [][]string { return [][]string{p.rm(names(round)...)} },
	}
}

// logRow writes the same bytes through each engine's log driver.
func logRow(bytes int64) row {
	name := func(round int) string { return "bench-l" + strconv.Itoa(round) }
	return row{
		name: "logs", title: fmt.Sprintf("%d MB of output into the log", bytes>>20), rounds: 3, peers: engines,
		job: func(p *peer, round int) job {
			script := fmt.Sprintf("yes 0123456789012345678901234567890123456789012345678901234567890123456789012 | head -c %d", bytes)
			run := append([]string{"-d", "--name", name(round)}, p.logs...)
			return once(p.runArgs(append(run, image, "sh", "-c", script)...), p.cmd("wait", name(round)))
		},
		after:   func(p *peer, round int) [][]string { return [][]string{p.rm(name(round))} },
		against: noSlowerThan("podman"),
	}
}

// fresh is wherry with another store that holds the one image.
const fresh = "wherry on a fresh store"

func freshPeer(wherry *peer) *peer {
	p := *wherry
	p.name = fresh
	return &p
}

// growthRow is the run of `true` again with 1000 containers and many images in the store, in turns with the same run on
// a fresh one.
func growthRow(at places, images int) row {
	elsewhere := func(p *peer, args ...string) []string {
		return p.cmd(append([]string{"--root", filepath.Join(at.home("wherry"), "fresh")}, args...)...)
	}
	return row{
		name: "growth", title: fmt.Sprintf("the same run with 1000 containers and %d images", images), peers: []string{"wherry", fresh}, warm: true,
		prepare: func(p *peer) error {
			if p.name == fresh {
				_, err := p.do(elsewhere(p, "import", p.tarball, image)...)
				return err
			}
			var imports job
			imports.Parallel = 4
			for i := range images {
				tarball := filepath.Join(at.dir, "tiny", fmt.Sprint(i)+".tar")
				imports.Argvs = append(imports.Argvs, p.cmd("import", tarball, "localhost/bench-many:"+strconv.Itoa(i)))
			}
			_, err := p.time(imports)
			return err
		},
		job: func(p *peer, round int) job {
			if p.name == fresh {
				return once(elsewhere(p, "run", "--network", "none", "--rm", image, "true"))
			}
			return runTrue(at)(p, round)
		},
	}
}

// selected keeps the rows that one of the words names, whole or up to the number at its end (ps: ps0, ps100, ps1000);
// no word: all.
func selected(all []row, words []string) []row {
	if len(words) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(r row) bool {
		return !slices.Contains(words, r.name) && !slices.Contains(words, strings.TrimRight(r.name, "0123456789"))
	})
}
