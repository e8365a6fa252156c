package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// settle is how long containers are left alone until their monitors count as idle.
const settle = 4 * time.Second

// measureMonitors returns the median proportional set size, in kB, of each engine's idle monitors.
func measureMonitors(peers []*peer) map[string]float64 {
	const several = 8
	names := func() (all []string) {
		for i := range several {
			all = append(all, fmt.Sprintf("bench-i%d", i))
		}
		return all
	}()
	kb := map[string]float64{}
	for _, p := range peers {
		if p.name == "podman5" {
			continue // the same conmon, in another root
		}
		before := monitorsOf(p.monitor)
		for _, name := range names {
			if _, err := p.do(p.runArgs("-d", "--name", name, image, "sleep", "100000")...); err != nil {
				fmt.Fprintf(os.Stderr, "# %s: %v\n", p.name, err)
			}
		}
		time.Sleep(settle)
		var sizes []float64
		for pid := range monitorsOf(p.monitor) {
			if size, err := pss(pid); err == nil && !before[pid] {
				sizes = append(sizes, size)
			}
		}
		if len(sizes) == several {
			kb[p.name] = median(sizes)
		} else {
			fmt.Fprintf(os.Stderr, "# %s: %d of %d %s found\n", p.name, len(sizes), several, p.monitor)
		}
		p.do(p.rm(names...)...)
	}
	return kb
}

// monitorsOf lists the processes of that name.
func monitorsOf(name string) map[string]bool {
	found := map[string]bool{}
	all, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range all {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == name {
			found[filepath.Base(filepath.Dir(file))] = true
		}
	}
	return found
}

func pss(pid string) (kb float64, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			_, err = fmt.Sscanf(rest, "%f kB", &kb)
			return kb, err
		}
	}
	return 0, fmt.Errorf("/proc/%s/smaps_rollup has no Pss", pid)
}
