package cmdkit

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func testFlags() []cli.Flag {
	var b bool
	var s string
	var l []string
	flags := []cli.Flag{
		Bool(&b, "interactive i", ""), Bool(&b, "tty t", ""), Bool(&b, "rm", ""), String(&s, "name", ""),
		Strings(&l, "env e", ""), Strings(&l, "network net", ""), Strings(&l, "hostname h", ""),
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}}, &cli.StringFlag{Name: "format"},
	}
	return append(flags, Later("publish,p ip")...)
}

func TestNormalise(t *testing.T) {
	for _, c := range []struct {
		args string
		stop bool
		want string // flags | operands, or the error
	}{
		{"", false, "|"},
		{"ctr --rm", false, "--rm|ctr"},
		{"-it ctr", false, "--interactive --tty|ctr"},
		{"-ite A=1 ctr", false, "--interactive --tty --env=A=1|ctr"},
		{"-iteA=1 x", false, "--interactive --tty --env=A=1|x"},
		{"-e=A=1 --env B=2 --env=C=", false, "--env=A=1 --env=B=2 --env=C=|"},
		{"--net none --network=host", false, "--network=none --network=host|"},
		{"--rm=false -t=true", false, "--rm=false --tty=true|"},
		{"--rm img ls -l --name x", true, "--rm|img ls -l --name x"},
		{"--rm img ls --name x", false, "--rm --name=x|img ls"},
		{"a -- --rm -", false, "|a --rm -"},
		{"- --rm", false, "--rm|-"},
		{"-h web img", true, "--hostname=web|img"},
		{"-q --format json", false, "--quiet --format=json|"},
		{"--name -- img", true, "--name=--|img"},
		{"--nmae x", false, `unknown flag "--nmae" (did you mean "--name"?)`},
		{"--interact", false, `unknown flag "--interact" (did you mean "--interactive"?)`},
		{"--zebra", false, `unknown flag "--zebra"`},
		{"--e A=1", false, `unknown flag "--e"`},
		{"-itz", false, `unknown flag "-z" in "-itz"`},
		{"-name x", false, `unknown flag "-n" in "-name" (did you mean "--name"?)`},
		{"--name", false, "flag --name needs a value"},
		{"-e", false, "flag -e needs a value"},
		{"--rm=maybe", false, `invalid --rm "maybe": true or false is expected`},
		{"-p 80:80", false, "-p (--publish) is not there yet"},
		{"--publish=80", false, "--publish is not there yet"},
	} {
		line, err := Normalise(testFlags(), strings.Fields(c.args), c.stop)
		got := strings.Join(line.Flags, " ") + "|" + strings.Join(line.Operands, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.args, got, c.want)
		}
	}
}

func TestNormaliseHelp(t *testing.T) {
	for _, args := range []string{"--help", "x --help", "--rm --help --zebra"} {
		line, err := Normalise(testFlags(), strings.Fields(args), false)
		if err != nil || !line.Help {
			t.Errorf("%q: %+v, %v", args, line, err)
		}
	}
	if line, err := Normalise(testFlags(), []string{"img", "--help"}, true); err != nil || line.Help {
		t.Errorf("--help of the container's command was taken: %+v, %v", line, err)
	}
	if line, err := Normalise(nil, []string{"-h"}, false); err != nil || !line.Help {
		t.Errorf("-h: %+v, %v", line, err)
	}
}

// FuzzNormalise: whatever is typed, flags are known long names, and operands are a subsequence of the arguments.
func FuzzNormalise(f *testing.F) {
	f.Add("-it --rm=false img ls -l", true)
	f.Add("--env A=1 -e=B -- x", false)
	f.Fuzz(func(t *testing.T, text string, stop bool) {
		args := strings.Split(text, " ")
		line, err := Normalise(testFlags(), args, stop)
		if err != nil {
			return
		}
		known := indexFlags(testFlags())
		for _, flag := range line.Flags {
			name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
			if form, ok := known[name]; !ok || form.name != name || form.refused() {
				t.Fatalf("%q gave flag %q", args, flag)
			}
		}
		rest := args
		for _, operand := range line.Operands {
			at := slices.Index(rest, operand)
			if at < 0 {
				t.Fatalf("%q gave operands %q", args, line.Operands)
			}
			rest = rest[at+1:]
		}
	})
}

func TestOperands(t *testing.T) {
	for _, c := range []struct{ usage, operands, want string }{
		{"", "", ""},
		{"", "x", `"wherry v" takes no operands, not "x"`},
		{"CONTAINER", "", `"wherry v" needs CONTAINER`},
		{"CONTAINER NAME", "a b c", `"wherry v" takes CONTAINER NAME, not "c"`},
		{"CONTAINER...", "", `"wherry v" needs CONTAINER...`},
		{"CONTAINER...", "a b c", ""},
		{"[CONTAINER...]", "", ""},
		{"IMAGE [COMMAND [ARG...]]", "a b c d", ""},
		{"[NAME]", "a b", `"wherry v" takes [NAME], not "b"`},
	} {
		got := ""
		if err := checkOperands("wherry v", c.usage, strings.Fields(c.operands)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q with %q: %s, want %s", c.usage, c.operands, got, c.want)
		}
	}
}
