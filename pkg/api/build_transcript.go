package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	buildkitd "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// transcript tells a client what happens in a build in the words of Docker's classic builder, which programs look for.
type transcript struct {
	out   *messages
	quiet bool
	seen  map[digest.Digest]bool // vertices that were told of
}

// follow builds, and tells of it.
func (t *transcript) follow(ctx context.Context, c *buildkitd.Client, opt buildkitd.SolveOpt, tags []string) error {
	steps := make(chan *buildkitd.SolveStatus)
	var result *buildkitd.SolveResponse
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		result, err = c.Solve(ctx, nil, opt, steps)
		return err
	})
	group.Go(func() error {
		for status := range steps {
			if !t.quiet {
				t.tell(status)
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	id := result.ExporterResponse[exptypes.ExporterImageConfigDigestKey]
	if id == "" {
		id = result.ExporterResponse[exptypes.ExporterImageDigestKey]
	}
	if t.quiet {
		return t.say(id + "\n")
	}
	if err := t.out.send(buildResult{Aux: imageID{id}}); err != nil {
		return err
	}
	t.say("Successfully built " + shortDigest(id) + "\n")
	for _, tag := range tags {
		t.say("Successfully tagged " + withTag(tag) + "\n")
	}
	return nil
}

// buildResult tells programs what was built.
type buildResult struct {
	Aux imageID `json:"aux"`
}

type imageID struct{ ID string }

func (t *transcript) say(text string) error { return t.out.send(jsonstream.Message{Stream: text}) }

func (t *transcript) tell(status *buildkitd.SolveStatus) {
	for _, v := range status.Vertexes {
		step := stepOf(v.Name)
		if step == "" || v.Started == nil && !v.Cached || t.seen[v.Digest] {
			continue
		}
		t.seen[v.Digest] = true
		t.say(step)
		if v.Cached {
			t.say(" ---> Using cache\n")
		}
	}
	for _, l := range status.Logs {
		t.say(string(l.Data))
	}
}

// stepOf turns "[stage 2/5] RUN true" into "Step 2/5 : RUN true"; what is no step of a Dockerfile is empty.
func stepOf(name string) string {
	rest, ok := strings.CutPrefix(name, "[")
	if !ok {
		return ""
	}
	place, command, ok := strings.Cut(rest, "] ")
	fields := strings.Fields(place)
	if !ok || len(fields) == 0 || !strings.Contains(fields[len(fields)-1], "/") {
		return ""
	}
	return fmt.Sprintf("Step %s : %s\n", fields[len(fields)-1], command)
}

// end tells in the stream how the build failed, or answers so where nothing was sent yet.
func (t *transcript) end(err error) error {
	if err == nil {
		return nil
	}
	text := plainBuildError(err)
	code := 1
	var exit *gwpb.ExitError
	if errors.As(err, &exit) && exit.ExitCode > 0 && exit.ExitCode < 256 {
		code = int(exit.ExitCode)
	}
	t.out.mu.Lock()
	begun := t.out.out != nil
	t.out.mu.Unlock()
	if !begun {
		status := statusOf(err)
		if status == 500 && isDockerfileFault(text) {
			status = 400
		}
		return fail(status, "%s", text)
	}
	return t.out.send(failure{&jsonstream.Error{Code: code, Message: text}, text})
}

func isDockerfileFault(text string) bool { return strings.Contains(text, "dockerfile parse error") }

// plainBuildError leaves out what the way through several programs has put around the words.
func plainBuildError(err error) string {
	text := err.Error()
	for _, noise := range []string{"failed to solve: ", "failed to receive status: ", "rpc error: code = Unknown desc = "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	return text
}

// buildTable knows the builds that were given an id, so that they can be cancelled.
type buildTable struct {
	mu      sync.Mutex
	running map[string]context.CancelFunc
}

func newBuildTable() *buildTable { return &buildTable{running: map[string]context.CancelFunc{}} }

// begin returns a context that cancel ends, and what takes the build out of the table.
func (b *buildTable) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" {
		return ctx, cancel
	}
	b.mu.Lock()
	b.running[id] = cancel
	b.mu.Unlock()
	return ctx, func() {
		b.mu.Lock()
		delete(b.running, id)
		b.mu.Unlock()
		cancel()
	}
}

// cancel ends a build; one that is over already is no error.
func (b *buildTable) cancel(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if end := b.running[id]; end != nil {
		end()
	}
}

// clientOutputs are those that a client of version 2 asks for.
func clientOutputs(text string) ([]clientOutput, error) {
	if text == "" {
		return nil, nil
	}
	var list []clientOutput
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, invalid("invalid outputs: %v", err)
	}
	return slices.DeleteFunc(list, func(o clientOutput) bool { return o.Type == "" }), nil
}

type clientOutput struct {
	Type  string
	Attrs map[string]string
}
