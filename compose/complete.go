package compose

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Complete returns what may follow in a command line whose last word, perhaps empty, is unfinished: lines of a word, a tab and
// what it means. files says that names of files may follow.
func Complete(ctx context.Context, o Options, words []string) (lines []string, files bool) {
	var out bytes.Buffer
	o.Args, o.Out, o.Err = append([]string{cobra.ShellCompRequestCmd, "compose"}, words...), &out, io.Discard
	if err := Run(ctx, o); err != nil {
		return nil, false
	}
	return candidates(out.String())
}

// candidates reads cobra's answer: a line for each word, then one with a number that says how to go on.
func candidates(answer string) (lines []string, files bool) {
	lines = strings.Split(strings.TrimRight(answer, "\n"), "\n")
	last := len(lines) - 1
	number, ok := strings.CutPrefix(lines[last], ":")
	directive, err := strconv.Atoi(number)
	if !ok || err != nil {
		return nil, false
	}
	how := cobra.ShellCompDirective(directive)
	lines = slices.DeleteFunc(lines[:last], func(line string) bool { return strings.TrimSpace(line) == "" })
	switch {
	case how&cobra.ShellCompDirectiveError != 0:
		return nil, false
	case how&(cobra.ShellCompDirectiveFilterFileExt|cobra.ShellCompDirectiveFilterDirs) != 0:
		return nil, true // what it lists are endings of names
	}
	return lines, len(lines) == 0 && how&cobra.ShellCompDirectiveNoFileComp == 0
}
