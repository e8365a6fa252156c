// Command bench measures wherry against podman and raw crun on one image, round robin, so that what drifts on the
// machine drifts for all. It prints medians and ratios, and writes docs/bench.md and the table of README.md.
// test/bench/run.sh starts it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	asAgent := flag.Bool("agent", false, "answer timing jobs on standard input")
	asEnd := flag.Bool("net", false, "be an end of a network measurement: sink, send ADDRESS STREAMS, lookup NAME")
	rounds := flag.Int("n", 15, "rounds of each row")
	words := flag.String("rows", "", "only rows whose names start with one of these words, comma separated")
	write := flag.Bool("write", false, "write docs/bench.md and README.md")
	var at places
	flag.StringVar(&at.tree, "tree", ".", "source tree")
	flag.StringVar(&at.dir, "dir", "", "scratch directory of the test user")
	flag.StringVar(&at.podman5, "podman5", "", "script that runs podman 5")
	drop := flag.String("drop", "", "script that drops to the test user")
	images := flag.Int("images", 999, "images to add for the growth row")
	logMB := flag.Int64("log-mb", 100, "megabytes for the log row")
	flag.Parse()
	if *asAgent {
		return serve(os.Stdin, os.Stdout)
	}
	if *asEnd {
		return networkEnd(flag.Args(), os.Stdout)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	at.self = self
	if *drop != "" {
		at.drop = []string{*drop}
	}
	want := strings.FieldsFunc(*words, func(r rune) bool { return r == ',' || r == ' ' })
	return measureAll(at, sizes{*logMB << 20, *images}, *rounds, want, *write)
}

func measureAll(at places, size sizes, rounds int, want []string, write bool) error {
	peers, err := open(at)
	if err != nil {
		return err
	}
	var all []*peer
	all = append(all, peers...)
	if crun, err := rawCrun(at, peers[0]); err != nil {
		fmt.Fprintf(os.Stderr, "# going on without raw crun: %v\n", err)
	} else {
		all = append([]*peer{crun}, all...)
	}
	if kit, err := buildKit(at); err != nil {
		fmt.Fprintf(os.Stderr, "# going on without BuildKit: %v\n", err)
	} else {
		all = append(all, kit)
	}
	agents := all
	all = append(all, freshPeer(peers[0]))
	defer func() {
		for _, p := range peers {
			p.do(p.rm("-a")...)
			p.do(p.cmd("rmi", "-f", image)...)
		}
		for _, p := range agents {
			p.stop()
		}
	}()
	rep := newReport(all)
	var failed error
	todo := selected(rows(at, size), want)
	if len(want) == 0 || slices.Contains(want, "pss") {
		rep.monitors(measureMonitors(peers))
	}
	for _, r := range todo {
		medians, err := measure(r, all, rounds)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("row %s: %w", r.name, err))
			fmt.Fprintf(os.Stderr, "# row %s: %v\n", r.name, err)
		}
		rep.add(r, medians)
	}
	if len(want) == 0 || slices.Contains(want, "pull") {
		if err := pullRow(at, peers, rep); err != nil {
			failed = errors.Join(failed, fmt.Errorf("row pull: %w", err))
		}
	}
	if len(want) == 0 || slices.Contains(want, "net") {
		if err := networkRows(at, peers, rep, rounds); err != nil {
			failed = errors.Join(failed, fmt.Errorf("network rows: %w", err))
			fmt.Fprintf(os.Stderr, "# network rows: %v\n", err)
		}
	}
	text := rep.table()
	fmt.Print(text)
	if write && len(want) == 0 {
		failed = errors.Join(failed, rep.write(filepath.Join(at.tree, "docs/bench.md"), filepath.Join(at.tree, "README.md")))
	}
	return failed
}

// measure runs one row: every round each peer in turn. A peer that fails is left out from then on, and said.
func measure(r row, all []*peer, rounds int) (map[string]float64, error) {
	if r.rounds > 0 {
		rounds = min(rounds, r.rounds)
	}
	var failed error
	taking := slices.DeleteFunc(slices.Clone(all), func(p *peer) bool { return !slices.Contains(r.peers, p.name) })
	give := func(p *peer, err error) {
		failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
		taking = slices.DeleteFunc(taking, func(q *peer) bool { return q == p })
	}
	if r.prepare != nil {
		for _, p := range slices.Clone(taking) {
			if err := r.prepare(p); err != nil {
				give(p, err)
			}
		}
	}
	took := map[string][]float64{}
	after := func(p *peer, round int) {
		if r.after == nil {
			return
		}
		for _, argv := range r.after(p, round) {
			if _, err := p.do(argv...); err != nil {
				give(p, err)
			}
		}
	}
	for round := range rounds {
		for _, p := range slices.Clone(taking) {
			if r.warm {
				p.time(r.job(p, rounds+round)) // an error comes again
				after(p, rounds+round)
			}
			d, err := p.time(r.job(p, round))
			if err != nil {
				give(p, err)
				continue
			}
			took[p.name] = append(took[p.name], float64(d)/float64(time.Millisecond))
			after(p, round)
		}
	}
	medians := map[string]float64{}
	for name, values := range took {
		medians[name] = median(values)
	}
	return medians, failed
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
