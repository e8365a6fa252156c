package buildah

import (
	"bytes"
	"errors"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	solvererr "github.com/moby/buildkit/solver/errdefs"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/nearest"
)

// exitFailed is the status of a build that failed for another reason than a command, as Docker and Podman have it.
const exitFailed = 1

// failed shows the lines of the Dockerfile that an error is about, and puts the error into one line, with what may help.
// The status is that of the command that failed.
func (b *Builder) failed(err error, warnings []client.VertexWarning) error {
	sources := solvererr.Sources(err)
	for _, s := range sources {
		if err := s.Print(b.cfg.Err); err != nil {
			break
		}
	}
	text := plain(err)
	text += stageAdvice(err.Error(), sources) + ignoreAdvice(text, warnings)
	exit := &errdefs.ExitError{Code: exitFailed, Err: errdefs.New(errdefs.ErrInvalid, "%s", text)}
	var command *gwpb.ExitError
	if errors.As(err, &command) && command.ExitCode > 0 && command.ExitCode < 256 {
		exit.Code = int(command.ExitCode)
	}
	return exit
}

// unresolved comes between the name of an image and what is wrong with it.
const unresolved = "failed to resolve source metadata for "

// plain is an error in one line, without what BuildKit's layers say of themselves.
func plain(err error) string {
	text := err.Error()
	for _, noise := range []string{"failed to solve: ", "failed to receive status: ", "rpc error: code = Unknown desc = "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	if _, after, ok := strings.Cut(text, unresolved); ok {
		if _, why, ok := strings.Cut(after, ": "); ok {
			text = why
		}
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
}

// stageAdvice is for an image that could not be found and whose name looks like that of a stage.
func stageAdvice(text string, sources []*solvererr.Source) string {
	before, _, ok := strings.Cut(text, ": "+unresolved)
	if !ok || len(sources) == 0 {
		return ""
	}
	name := before[strings.LastIndexByte(before, ' ')+1:]
	if strings.ContainsAny(name, "/:@") {
		return ""
	}
	stages := stageNames(sources[0].GetInfo().GetData())
	if near := nearest.Of(name, stages); near != "" {
		return " (no stage is called " + name + "; did you mean " + near + "?)"
	}
	if fromFlag(sources[0], name) {
		return " (no stage is called " + name + " either)"
	}
	return ""
}

// fromFlag tells whether the lines that an error is about have --from=NAME or from=NAME.
func fromFlag(s *solvererr.Source, name string) bool {
	lines := strings.Split(string(s.GetInfo().GetData()), "\n")
	for _, r := range s.GetRanges() {
		for n := int(r.GetStart().GetLine()); n >= 1 && n <= len(lines) && n <= int(r.GetEnd().GetLine()); n++ {
			if strings.Contains(lines[n-1], "from="+name) {
				return true
			}
		}
	}
	return false
}

// stageNames are the names that a Dockerfile gives with FROM ... AS.
func stageNames(dockerfile []byte) []string {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range parsed.AST.Children {
		words := strings.Fields(n.Original)
		if len(words) >= 4 && strings.EqualFold(words[0], "from") && strings.EqualFold(words[len(words)-2], "as") {
			names = append(names, words[len(words)-1])
		}
	}
	return names
}

// ignoreAdvice is for a file that is there but that the ignore file leaves out: the frontend has warned of it.
func ignoreAdvice(text string, warnings []client.VertexWarning) string {
	if !strings.HasSuffix(text, "not found") {
		return ""
	}
	for _, w := range warnings {
		if strings.HasPrefix(string(w.Short), "CopyIgnoredFile") {
			return " (.dockerignore leaves it out)"
		}
	}
	return ""
}
