package buildah

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/wherry-containers/wherry/buildah/option"
	"github.com/wherry-containers/wherry/buildah/request"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// call is a question about a Dockerfile.
type call struct {
	name         string
	json         bool
	ignoreStatus bool
}

// parseCall reads --call: check, outline, targets, with format=json and ignorestatus=true; nil is a build.
func parseCall(text string) (*call, error) {
	if text == "" || text == "build" {
		return nil, nil
	}
	fields, err := csvvalue.Fields(text, nil)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "--call %q: %v", text, err)
	}
	c := &call{}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok:
			c.name = f
		case key == "format" && (value == "json" || value == "text" || value == "table"):
			c.json = value == "json"
		case key == "ignorestatus":
			if c.ignoreStatus, err = strconv.ParseBool(value); err != nil {
				return nil, errdefs.New(errdefs.ErrInvalid, "--call %q: %q is not true or false", text, value)
			}
		default:
			return nil, errdefs.New(errdefs.ErrInvalid, "--call %q: %q is not understood", text, f)
		}
	}
	switch c.name {
	case "check":
		c.name = "lint"
	case "lint", "outline", "targets", "subrequests.describe":
	default:
		return nil, errdefs.New(errdefs.ErrInvalid, "--call %q: want build, check, outline or targets", text)
	}
	return c, nil
}

// call asks the frontend and prints its answer.
func (b *Builder) call(ctx context.Context, req *request.Request, o option.Build, c *call) error {
	var answer map[string][]byte
	frontend := req.Solve.Frontend
	warnings, err := b.connected(ctx, req, option.Display{Quiet: true}, func(ctx context.Context, cl *client.Client, ch chan *client.SolveStatus) error {
		_, err := cl.Build(ctx, req.Solve, "wherry", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
			attrs := maps.Clone(g.BuildOpts().Opts)
			attrs["requestid"] = "frontend." + c.name
			res, err := g.Solve(ctx, gateway.SolveRequest{Frontend: frontend, FrontendOpt: attrs, Evaluate: true})
			if err != nil {
				return nil, err
			}
			answer = res.Metadata
			return gateway.NewResult(), nil
		}, ch)
		return err
	})
	if err != nil {
		return b.failed(err, warnings)
	}
	return c.print(b.cfg.Out, answer, o)
}

func (c *call) print(w io.Writer, answer map[string][]byte, o option.Build) error {
	data := answer["result.json"]
	var err error
	switch {
	case c.json:
		_, err = fmt.Fprintf(w, "%s\n", data)
	case c.name == "outline":
		err = outline.PrintOutline(data, w)
	case c.name == "targets":
		err = targets.PrintTargets(data, w)
	case c.name == "lint":
		err = printLint(w, data, o)
	default:
		err = subrequests.PrintDescribe(data, w)
	}
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(string(answer["result.statuscode"])); err == nil && n != 0 && !c.ignoreStatus {
		return &errdefs.ExitError{Code: n}
	}
	return nil
}

func printLint(w io.Writer, data []byte, o option.Build) error {
	var found lint.LintResults
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	named := func(s *pb.SourceInfo) *pb.SourceInfo {
		if s == nil || len(o.Files) != 1 || o.Files[0] == "-" {
			return s
		}
		renamed := s.CloneVT()
		renamed.Filename = o.Files[0]
		return renamed
	}
	switch n := len(found.Warnings); {
	case n == 1:
		fmt.Fprintln(w, "Check complete, 1 warning has been found!")
	case n > 1:
		fmt.Fprintf(w, "Check complete, %d warnings have been found!\n", n)
	case found.Error == nil:
		fmt.Fprintln(w, "Check complete, no warnings found.")
	}
	if err := found.PrintTo(w, named); err != nil || found.Error == nil {
		return err
	}
	fmt.Fprintln(w)
	found.PrintErrorTo(w, named)
	return nil
}
