package buildah

import (
	"bytes"
	"fmt"
	"io"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// keptOutput bounds what is kept of a step's output in a build that shows none: the last of it says why a step failed.
const keptOutput = 64 << 10

// overheard hands on what happens, and keeps the last output of each step. Afterwards said writes that of those that failed.
func overheard(from chan *client.SolveStatus, out io.Writer) (to chan *client.SolveStatus, said func()) {
	to = make(chan *client.SolveStatus)
	output := map[digest.Digest][]byte{}
	failed := map[digest.Digest]string{}
	go func() {
		defer close(to)
		for s := range from {
			for _, l := range s.Logs {
				output[l.Vertex] = last(append(output[l.Vertex], l.Data...), keptOutput)
			}
			for _, v := range s.Vertexes {
				if v.Error != "" {
					failed[v.Digest] = v.Name
				} else if v.Completed != nil {
					delete(output, v.Digest)
				}
			}
			to <- s
		}
	}()
	return to, func() {
		for d, name := range failed {
			if text := bytes.TrimRight(output[d], "\n"); len(text) > 0 {
				fmt.Fprintf(out, "------\n > %s:\n%s\n------\n", name, text)
			}
		}
	}
}

// last is the end of a text, at a line where there is one.
func last(text []byte, most int) []byte {
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
		return bytes.Clone(rest)
	}
	return bytes.Clone(text)
}
