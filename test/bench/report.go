package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report collects the table.
type report struct {
	columns []string
	notes   []string
	lines   [][]string
	missed  int
}

func newReport(all []*peer) *report {
	rep := &report{}
	for _, name := range append(slices.Clone(engines), "crun", "buildkit") {
		for _, p := range all {
			if p.name == name {
				rep.columns = append(rep.columns, name)
				rep.notes = append(rep.notes, name+" "+p.version)
			}
		}
	}
	return rep
}

// add makes the line of a row: the limit, each peer's median and how many times ours it is, and whether it is met.
func (rep *report) add(r row, medians map[string]float64) {
	limit := float64(r.limit) / float64(time.Millisecond)
	ours, measured := medians["wherry"]
	required, why := "", ""
	if limit > 0 {
		required = fmt.Sprintf("%g ms", limit)
		if ours > limit {
			why = "over the limit"
		}
	}
	if before := medians[fresh]; before > 0 {
		required = fmt.Sprintf("+10 %% of %s ms", figure(before))
		if ours > 1.1*before {
			why = fmt.Sprintf("+%.0f %%", 100*(ours/before-1))
		}
	}
	if why == "" && r.against != nil {
		why = r.against(medians)
	}
	if !measured {
		why = "not measured"
	}
	rep.line(r.title, required, why, medians, "ms")
}

func (rep *report) line(title, required, why string, medians map[string]float64, unit string) {
	cells := []string{title, required}
	for _, name := range rep.columns {
		value, ok := medians[name]
		switch {
		case !ok:
			cells = append(cells, "")
		case name == "wherry" || medians["wherry"] == 0:
			cells = append(cells, figure(value)+" "+unit)
		default:
			cells = append(cells, fmt.Sprintf("%s %s (%.1fx)", figure(value), unit, value/medians["wherry"]))
		}
	}
	verdict := "yes"
	if why != "" {
		verdict = "no: " + why
		rep.missed++
	}
	rep.lines = append(rep.lines, append(cells, verdict))
}

func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v < 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// monitors adds the line of memory per idle container, in kB.
func (rep *report) monitors(kb map[string]float64) {
	why := ""
	switch ours, ok := kb["wherry"]; {
	case !ok:
		why = "not measured"
	case ours > 364:
		why = "over the limit"
	}
	rep.line("memory of the idle monitor (PSS)", "364 kB", why, kb, "kB")
}

// table is the Markdown table, its columns aligned for a terminal too.
func (rep *report) table() string {
	rows := append([][]string{append(append([]string{"", "at most"}, rep.columns...), "met")}, rep.lines...)
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, cell := range cells {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for n, cells := range rows {
		for i, cell := range cells {
			fmt.Fprintf(&b, "| %-*s ", widths[i], cell)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// machine says where the figures are from.
func machine() string {
	kernel, _ := exec.Command("uname", "-sr").Output()
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s, %d processors (%s, %s)", strings.TrimSpace(string(kernel)), runtime.NumCPU(), model, runtime.GOARCH)
}

const (
	openMark  = "<!-- figures: written by make bench -->"
	closeMark = "<!-- end of figures -->"
)

// write puts the table into docs/bench.md and between the marks of README.md.
func (rep *report) write(doc, readme string) error {
	head := fmt.Sprintf("Medians of interleaved runs, the short ones each after an untimed one, rootless, default seccomp profile, %s, on %s. Versions: %s. In brackets: times wherry's.\n",
		time.Now().UTC().Format("2 January 2006"), machine(), strings.Join(rep.notes, ", "))
	text := "# Figures\n\nWritten by `make bench`; do not edit.\n\n" + head + "\n" + rep.table()
	if err := os.WriteFile(doc, []byte(text), 0o644); err != nil {
		return err
	}
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), openMark)
	_, after, closed := strings.Cut(rest, closeMark)
	if !found || !closed {
		return fmt.Errorf("%s has no place for the figures (%s ... %s)", readme, openMark, closeMark)
	}
	return os.WriteFile(readme, []byte(before+openMark+"\n"+head+"\n"+rep.table()+closeMark+after), 0o644)
}
