package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	benchNet  = "bench-net"
	otherNet  = "bench-net2"
	sinkName  = "bench-sink"
	askerName = "bench-asker"
)

// hostPorts are fixed, so that no engine has to find one; each has its own.
var hostPorts = map[string]int{"wherry": 18500, "podman": 18600, "podman5": 18700}

// machinery are the processes that an engine keeps for the networks of a user.
var machinery = map[string][]string{
	"wherry": {"wherry-net", "pasta", "pasta.avx2", "slirp4netns"},
	"podman": {"aardvark-dns", "rootlessport", "exe", "slirp4netns", "dnsmasq", "pasta", "pasta.avx2"},
}

// networkRows measures what networks cost and what they carry. podman 5 sees this program below /hostroot.
func networkRows(at places, peers []*peer, rep *report, rounds int) error {
	var failed error
	ready := slices.DeleteFunc(slices.Clone(peers), func(p *peer) bool {
		err := openNetwork(at, p)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
		}
		return err != nil
	})
	defer func() {
		for _, p := range ready {
			p.do(p.rm(sinkName, askerName)...)
			p.do(p.cmd("network", "rm", "-f", benchNet, otherNet)...)
		}
	}()
	for _, r := range timedNetworkRows() {
		medians, err := measure(r, ready, rounds)
		failed = errors.Join(failed, err)
		rep.add(r, medians)
	}
	failed = errors.Join(failed, lookupRow(ready, rep))
	for _, streams := range []int{1, 8} {
		failed = errors.Join(failed, throughputRows(at, ready, rep, streams))
	}
	failed = errors.Join(failed, machineryRow(ready, rep))
	return failed
}

// openNetwork makes the networks, the sink with a published port and the asker.
func openNetwork(at places, p *peer) error {
	self := strings.TrimSuffix(p.tarball, at.dir+"/busybox.tar") + at.self
	for _, argv := range [][]string{
		p.cmd("network", "create", benchNet), p.cmd("network", "create", otherNet),
		p.cmd("run", "-d", "--name", sinkName, "--network", benchNet, "-p", fmt.Sprintf("127.0.0.1:%d:%s", hostPorts[p.name], sinkPort),
			"-v", self+":/bench:ro", image, "/bench", "-net", "sink"),
		p.cmd("run", "-d", "--name", askerName, "--network", benchNet, "-v", self+":/bench:ro", image, "sleep", "100000"),
	} {
		if _, err := p.do(argv...); err != nil {
			return err
		}
	}
	return nil
}

// timedNetworkRows run while the network is up: its first start is not in them, as it is not in a user's second run.
func timedNetworkRows() []row {
	on := func(p *peer, more ...string) job {
		return once(p.cmd(append(append([]string{"run", "--rm", "--network", benchNet}, more...), image, "true")...))
	}
	return []row{
		{name: "net", title: "run --rm on a network", limit: 24 * time.Millisecond, warm: true, peers: engines,
			job: func(p *peer, _ int) job { return on(p) }},
		{name: "net", title: "the same with a published port", limit: 28 * time.Millisecond, warm: true, peers: engines,
			job: func(p *peer, _ int) job { return on(p, "-p", fmt.Sprintf("127.0.0.1:%d:80", hostPorts[p.name]+1)) }},
		{name: "net", title: "network connect", limit: 10 * time.Millisecond, warm: true, peers: engines,
			job: func(p *peer, _ int) job { return once(p.cmd("network", "connect", otherNet, askerName)) },
			after: func(p *peer, _ int) [][]string {
				return [][]string{p.cmd("network", "disconnect", otherNet, askerName)}
			}},
	}
}

// figures asks each peer for a number, several times in turns, and takes the median.
func figures(peers []*peer, times int, argv func(*peer) ([]string, error)) (map[string]float64, error) {
	got := map[string][]float64{}
	var failed error
	for range times {
		for _, p := range peers {
			line, err := argv(p)
			var out string
			if err == nil {
				out, err = p.do(line...)
			}
			var value float64
			if err == nil {
				value, err = strconv.ParseFloat(out, 64)
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
				continue
			}
			got[p.name] = append(got[p.name], value)
		}
	}
	medians := map[string]float64{}
	for name, values := range got {
		medians[name] = median(values)
	}
	return medians, failed
}

func lookupRow(peers []*peer, rep *report) error {
	medians, err := figures(peers, 3, func(p *peer) ([]string, error) {
		return p.cmd("exec", askerName, "/bench", "-net", "lookup", sinkName), nil
	})
	why := ""
	switch ours, ok := medians["wherry"]; {
	case !ok:
		why = "not measured"
	case ours > 0.3:
		why = "over the limit"
	}
	rep.line("look-up of a container's name", "0.3 ms", why, medians, "ms")
	if err != nil && why != "not measured" { // podman 4 has names only with a plugin that Debian does not have
		fmt.Fprintf(os.Stderr, "# going on without some look-ups: %v\n", err)
		return nil
	}
	return err
}

func throughputRows(at places, peers []*peer, rep *report, streams int) error {
	noLess := func(medians map[string]float64) string {
		ours, ok := medians["wherry"]
		if !ok {
			return "not measured"
		}
		for _, name := range engines[1:] {
			if medians[name] > ours {
				return "less than " + name
			}
		}
		return ""
	}
	inside, err1 := figures(peers, 3, func(p *peer) ([]string, error) {
		address, err := p.do(p.cmd("exec", sinkName, "sh", "-c", `ip -4 -o addr show eth0 | awk '{sub("/.*", "", $4); print $4}'`)...)
		return p.cmd("exec", askerName, "/bench", "-net", "send", address+":"+sinkPort, strconv.Itoa(streams)), err
	})
	rep.line(fmt.Sprintf("container to container, streams: %d", streams), "", noLess(inside), inside, "Gbit/s")
	outside, err2 := figures(peers, 3, func(p *peer) ([]string, error) {
		self := strings.TrimSuffix(p.tarball, at.dir+"/busybox.tar") + at.self
		return []string{self, "-net", "send", fmt.Sprintf("127.0.0.1:%d", hostPorts[p.name]), strconv.Itoa(streams)}, nil
	})
	rep.line(fmt.Sprintf("host to container, streams: %d", streams), "", noLess(outside), outside, "Gbit/s")
	return errors.Join(err1, err2)
}

// machineryRow is the memory of all processes that serve the networks of twenty containers, each with a published port.
func machineryRow(peers []*peer, rep *report) error {
	const several = 20
	mb := map[string]float64{}
	var failed error
	for _, p := range peers {
		names := machinery[p.name]
		if names == nil {
			continue
		}
		var containers []string
		for i := range several {
			name := fmt.Sprintf("bench-n%d", i)
			containers = append(containers, name)
			publish := fmt.Sprintf("127.0.0.1:%d:80", hostPorts[p.name]+10+i)
			if _, err := p.do(p.cmd("run", "-d", "--name", name, "--network", benchNet, "-p", publish, image, "sleep", "100000")...); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
			}
		}
		time.Sleep(2 * settle)
		kb := 0.0
		for _, name := range names {
			for pid := range monitorsOf(name) {
				if size, err := pss(pid); err == nil {
					kb += size
				} else {
					fmt.Fprintf(os.Stderr, "# %s: %v\n", p.name, err)
				}
			}
		}
		if kb > 0 {
			mb[p.name] = kb / 1024
		}
		p.do(p.rm(containers...)...)
	}
	why := ""
	switch ours, ok := mb["wherry"]; {
	case !ok:
		why = "not measured"
	case ours > 30:
		why = "over the limit"
	}
	rep.line("memory of the networks of 20 containers (PSS)", "30 MB", why, mb, "MB")
	return failed
}
