package cmdkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// testApp records in log what its commands were called with.
func testApp(log *strings.Builder) *App {
	verb := func(name, usage string) func(*Env) *cli.Command {
		return func(env *Env) *cli.Command {
			var list []string
			n, wait := 3, time.Second
			var labels map[string]string
			return &cli.Command{Name: name, Usage: "Do " + name, ArgsUsage: usage,
				Flags: []cli.Flag{Strings(&list, "env e", "Set `NAME`"), Int(&n, "number n", "A `NUMBER`"), Duration(&wait, "wait", ""),
					KeyValues(&labels, "label l", "A `KEY=VALUE`"), &cli.BoolFlag{Name: "plain", Usage: "The library's own"}},
				Action: func(c *cli.Context) error {
					fmt.Fprint(log, name, " ", list, n, wait, labels, c.Bool("plain"), c.Args().Slice())
					return nil
				}}
		}
	}
	return &App{Summary: "Test", Flags: func(env *Env) []cli.Flag { return []cli.Flag{String(&env.Runtime, "runtime", "`RUNTIME`")} },
		Entries: []Entry{
			{Names: "run", New: verb("run", "IMAGE [COMMAND [ARG...]]"), Group: "Verbs"},
			{Names: "ps ls", New: verb("ps", ""), Group: "Verbs"},
			{Names: "build", Later: true},
			{Names: "box", Group: "Boxes", Sub: []Entry{{Names: "rm remove", New: verb("rm", "BOX...")}, {Names: "cp", Later: true}}},
		}}
}

func TestRun(t *testing.T) {
	for args, want := range map[string]string{
		"run -e A=1,2 --env=B img ls -e C": "run [A=1,2 B] 3 1s map[] false [img ls -e C]",
		"--runtime crun ps":                "ps [] 3 1s map[] false []",
		"ls -l a=b --label=c -n 5":         "ps [] 5 1s map[a:b c:] false []",
		"box remove x y --plain":           "rm [] 3 1s map[] true [x y]",
		"box rm help h":                    "rm [] 3 1s map[] false [help h]",
		"run img -- x":                     "run [] 3 1s map[] false [img -- x]",
		"ps -n x":                          `invalid -n "x": a whole number is expected|ps`,
		"ps --wait 5":                      `invalid --wait "5": a duration looks like 30s or 1m30s|ps`,
		"ps -l =x":                         `invalid -l "=x": no key before the =|ps`,
		"box rm":                           `"wherry box rm" needs BOX...|box rm`,
		"box mv":                           `unknown command "box mv"|box`,
		"box rmm":                          `unknown command "box rmm" (did you mean "box rm"?)|box`,
		"box cp":                           `"wherry box cp" is not there yet|`,
		"build":                            `"wherry build" is not there yet|`,
		"--nope":                           `unknown flag "--nope"|`,
	} {
		var log strings.Builder
		err := testApp(&log).Run(context.Background(), &Env{Program: "wherry", Args: append([]string{"wherry"}, strings.Fields(args)...)})
		got := strings.Join(strings.Fields(log.String()), " ")
		var usage *UsageError
		if errors.As(err, &usage) {
			got = usage.Text + "|" + usage.Command
		}
		if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func TestHelp(t *testing.T) {
	for args, want := range map[string][]string{
		"":              {"Verbs:\n  run  Do run\n  ps   Do ps\n", "box  Boxes", "--runtime RUNTIME"},
		"run --help":    {"Usage: wherry run [FLAGS] IMAGE [COMMAND [ARG...]]", "-e, --env NAME  ", "(default 3)", "--plain"},
		"help box":      {"Boxes\n", "rm  Do rm"},
		"help box rm":   {"Aliases: remove"},
		"box rm x -h":   {"Usage: wherry box rm"},
		"ps --bad=1 -h": nil,
	} {
		var out, log bytes.Buffer
		env := &Env{Program: "wherry", Args: append([]string{"wherry"}, strings.Fields(args)...), Out: &out, Err: &log}
		err := testApp(&strings.Builder{}).Run(context.Background(), env)
		if (err == nil) != (want != nil) {
			t.Errorf("%s: %v", args, err)
		}
		for _, text := range want {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: no %q in\n%s", args, text, out.String())
			}
		}
		if strings.Contains(out.String(), "build") {
			t.Errorf("%s shows what is not there yet", args)
		}
	}
}

func TestReport(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{nil, 0, ""},
		{errors.New("two\nlines\n"), 125, "Error: two; lines\n"},
		{Exit(7), 7, ""},
		{Exit(0), 0, ""},
		{&errdefs.ExitError{Code: 1, Err: errors.New("x")}, 1, "Error: x\n"},
		{errdefs.New(errdefs.ErrNoCommand, "no command"), 127, "Error: no command\n"},
		{fmt.Errorf("x: %w", errdefs.ErrNotExecutable), 126, "Error: x: not executable\n"},
		{&UsageError{Text: "bad", Command: "box rm"}, 125, "Error: bad\nSee 'wherry box rm --help'.\n"},
		{Usagef("bad"), 125, "Error: bad\nSee 'wherry --help'.\n"},
	} {
		var out bytes.Buffer
		if code := Report(&Env{Program: "wherry", Err: &out}, c.err); code != c.code || out.String() != c.want {
			t.Errorf("%v: %d %q, want %d %q", c.err, code, out.String(), c.code, c.want)
		}
	}
}

func TestEach(t *testing.T) {
	var out, errs bytes.Buffer
	err := Each(&Env{Out: &out, Err: &errs}, []string{"a", "bad1", "b", "bad2"}, func(s string) (string, error) {
		if strings.HasPrefix(s, "bad") {
			return "", errors.New(s)
		}
		return s, nil
	})
	if out.String() != "a\nb\n" || errs.String() != "Error: bad1\n" || err == nil || err.Error() != "bad2" || errdefs.ExitCode(err) != 1 {
		t.Errorf("%q %q %v", out.String(), errs.String(), err)
	}
}

func TestOutput(t *testing.T) {
	out := NewOutput(failing{})
	fmt.Fprint(out, "x")
	fmt.Fprint(out, "y")
	if err := out.Failed(); !errors.Is(err, fs.ErrClosed) || errdefs.ExitCode(err) != 125 {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fs.ErrClosed }
