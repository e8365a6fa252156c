package buildah

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/progress/progressui"
	"golang.org/x/sync/errgroup"

	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/buildah/request"
	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Build does what `wherry build` does: shows progress, and writes the files that were asked for.
func (b *Builder) Build(ctx context.Context, o option.Build) error {
	call, err := parseCall(o.Call)
	if err != nil {
		return err
	}
	if o.Result.IIDFile != "" {
		if err := os.Remove(o.Result.IIDFile); err != nil && !errors.Is(err, os.ErrNotExist) { // no stale one is left by a failure
			return fmt.Errorf("--iidfile: %w", err)
		}
	}
	req, err := request.New(o, request.Surroundings{In: b.cfg.In, Out: b.cfg.Out, Getenv: b.cfg.Getenv, Lookup: b.cfg.LookupEnv})
	if err != nil {
		return err
	}
	defer req.Close()
	if call != nil {
		return b.call(ctx, req, o, call)
	}
	var res *client.SolveResponse
	warnings, err := b.connected(ctx, req, o.Display, func(ctx context.Context, c *client.Client, ch chan *client.SolveStatus) (err error) {
		res, err = c.Solve(ctx, nil, req.Solve, ch)
		return err
	})
	if err != nil {
		return b.failed(err, warnings)
	}
	return b.report(o, res.ExporterResponse, warnings)
}

// connected lets do build with a session for the request, and shows what happens.
func (b *Builder) connected(ctx context.Context, req *request.Request, d option.Display, do func(context.Context, *client.Client, chan *client.SolveStatus) error) ([]client.VertexWarning, error) {
	req.DropMissing(func(text string) { fmt.Fprintln(b.cfg.Err, "warning: "+text) })
	s, err := session.NewSession(ctx, req.Solve.SharedKey)
	if err != nil {
		return nil, err
	}
	defer b.locals.add(s.ID(), req)()
	req.Solve.SharedSession = s
	c, disconnect, err := b.server.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer disconnect()
	out, closeOut, err := b.progressTo(d)
	if err != nil {
		return nil, err
	}
	defer closeOut()
	display, err := newDisplay(out, d)
	if err != nil {
		return nil, err
	}
	ch := make(chan *client.SolveStatus)
	shown, said := ch, func() {}
	if d.Quiet || d.Progress == "quiet" {
		shown, said = overheard(ch, out)
	}
	var warnings []client.VertexWarning
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return do(ctx, c, ch) })
	group.Go(func() (err error) {
		// The display ends with the channel: what was said before an error is shown too.
		warnings, err = display.UpdateFrom(context.WithoutCancel(ctx), shown)
		return err
	})
	if err = group.Wait(); err != nil {
		said()
	}
	return warnings, err
}

// progressTo is where progress is shown.
func (b *Builder) progressTo(d option.Display) (io.Writer, func() error, error) {
	if d.LogFile == "" {
		return b.cfg.Err, func() error { return nil }, nil
	}
	f, err := os.Create(d.LogFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--logfile: %w", err)
	}
	return f, f.Close, nil
}

func newDisplay(out io.Writer, d option.Display) (progressui.Display, error) {
	mode := progressui.DisplayMode(d.Progress)
	if d.Quiet || mode == "none" {
		mode = progressui.QuietMode
	}
	display, err := progressui.NewDisplay(out, mode)
	if err != nil {
		return display, errdefs.New(errdefs.ErrInvalid, "--progress %s: standard error is no terminal", d.Progress)
	}
	return display, nil
}

// report says what became of the build where the user wants to have it.
func (b *Builder) report(o option.Build, res map[string]string, warnings []client.VertexWarning) error {
	id := res[exptypes.ExporterImageDigestKey]
	if config := res[exptypes.ExporterImageConfigDigestKey]; config != "" {
		id = config
	}
	switch {
	case o.Display.Quiet && id != "":
		fmt.Fprintln(b.cfg.Out, id)
	case !o.Display.Quiet && o.Display.Progress != "rawjson" && o.Display.Progress != "quiet":
		b.printWarnings(warnings)
	}
	if o.Result.IIDFile != "" && id != "" {
		if err := atomicfile.Write(o.Result.IIDFile, []byte(id), 0o644, atomicfile.Volatile); err != nil {
			return fmt.Errorf("--iidfile: %w", err)
		}
	}
	if o.Result.Metadata == "" {
		return nil
	}
	data, err := json.MarshalIndent(decoded(res), "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(o.Result.Metadata, append(data, '\n'), 0o644, atomicfile.Volatile); err != nil {
		return fmt.Errorf("--metadata-file: %w", err)
	}
	return nil
}

// decoded shows objects, which come encoded, as objects.
func decoded(res map[string]string) map[string]any {
	out := make(map[string]any, len(res))
	for name, value := range res {
		out[name] = value
		data, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			continue
		}
		var object map[string]any
		var list []map[string]any
		if json.Unmarshal(data, &object) == nil && len(object) > 0 || json.Unmarshal(data, &list) == nil && len(list) > 0 {
			out[name] = json.RawMessage(data)
		}
	}
	return out
}

func (b *Builder) printWarnings(warnings []client.VertexWarning) {
	switch len(warnings) {
	case 0:
		return
	case 1:
		fmt.Fprintln(b.cfg.Err, "\n 1 warning found (--check shows more):")
	default:
		fmt.Fprintf(b.cfg.Err, "\n %d warnings found (--check shows more):\n", len(warnings))
	}
	for _, w := range warnings {
		fmt.Fprintf(b.cfg.Err, " - %s\n", w.Short)
	}
}
