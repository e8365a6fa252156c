package cmdkit

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Line is a command line in its one normal form.
type Line struct {
	Flags    []string // --name or --name=value, long names, in the order given
	Operands []string
	Help     bool // help was asked for; nothing else counts

	typed map[string]string // how the user wrote a flag of Flags: "--volume=x" was -v
}

// Args is the line as arguments for the CLI library.
func (l Line) Args() []string {
	return append(append(append([]string{}, l.Flags...), "--"), l.Operands...)
}

// used returns those of flags that the line has. The library compares every flag with every other one, which for the
// hundred and fifty of `run` takes longer than to start the program; ours do nothing unless they are given.
func (l Line) used(flags []cli.Flag) []cli.Flag {
	given := make(map[string]bool, len(l.Flags))
	for _, arg := range l.Flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		given[name] = true
	}
	var used []cli.Flag
	for _, f := range flags {
		if ours, ok := f.(*Flag); !ok || given[ours.Name] {
			used = append(used, f)
		}
	}
	return used
}

// TakesCommand reports whether the operands of a command end in another program's command line, told by the word
// COMMAND in its ArgsUsage. Its flags then end at the first operand: `run IMAGE ls -l` passes -l to ls.
func TakesCommand(argsUsage string) bool { return strings.Contains(argsUsage, "COMMAND") }

// Normalise rewrites args, everything after the command's name, so that every flag has its long name and stands
// before the operands: what Docker's users type (flags after operands, -abc clusters, mixed aliases) is then what
// the CLI library understands. Nested commands are resolved by the caller.
func Normalise(flags []cli.Flag, args []string, stopAtOperand bool) (Line, error) {
	n := normaliser{known: indexFlags(flags), args: args}
	for len(n.args) > 0 && !n.line.Help {
		arg := n.next()
		var err error
		switch {
		case arg == "--":
			n.operands(n.args...)
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			n.line.Operands = append(n.line.Operands, arg)
			if stopAtOperand {
				n.operands(n.args...)
			}
		case strings.HasPrefix(arg, "--"):
			err = n.long(arg[2:])
		default:
			err = n.cluster(arg)
		}
		if err != nil {
			return Line{}, err
		}
	}
	return n.line, nil
}

type normaliser struct {
	known map[string]flagForm
	args  []string
	line  Line
}

// flagForm is what rewriting needs to know of a flag.
type flagForm struct {
	name   string
	isBool bool
	flag   *Flag // nil for one of the library's
}

// refused tells whether the flag is one that is only known by name.
func (f flagForm) refused() bool { return f.flag != nil && (f.flag.Later || f.flag.Why != "") }

// worded tells whether the switch also takes a word, after a =.
func (f flagForm) worded() bool { return f.flag != nil && f.flag.Worded }

func indexFlags(flags []cli.Flag) map[string]flagForm {
	known := make(map[string]flagForm, 2*len(flags))
	for _, f := range flags {
		if ours, ok := f.(*Flag); ok { // all but a few: no list of names is made for them
			form := flagForm{name: ours.Name, isBool: ours.Bool, flag: ours}
			known[ours.Name] = form
			for _, alias := range ours.Aliases {
				known[alias] = form
			}
			continue
		}
		names := f.Names()
		form := flagForm{name: names[0]}
		if doc, ok := f.(cli.DocGenerationFlag); ok {
			form.isBool = !doc.TakesValue()
		}
		for _, name := range names {
			known[name] = form
		}
	}
	return known
}

func (n *normaliser) next() string {
	arg := n.args[0]
	n.args = n.args[1:]
	return arg
}

// operands takes the rest as operands, whatever it looks like.
func (n *normaliser) operands(rest ...string) {
	n.line.Operands = append(n.line.Operands, rest...)
	n.args = nil
}

func (n *normaliser) long(text string) error {
	name, value, hasValue := strings.Cut(text, "=")
	form, ok := n.known[name]
	if !ok || len(name) == 1 {
		if name == "help" {
			n.line.Help = true
			return nil
		}
		return Usagef("unknown flag %q%s", "--"+name, Suggest(name, n.longNames(), "--"))
	}
	return n.emit(form, "--"+name, value, hasValue)
}

// cluster reads -abc, -avalue, -a=value and -a value.
func (n *normaliser) cluster(arg string) error {
	for rest := arg[1:]; rest != ""; {
		letter := rest[:1]
		rest = rest[1:]
		form, ok := n.known[letter]
		switch {
		case !ok && letter == "h":
			n.line.Help = true
			return nil
		case !ok:
			return n.unknownLetter(arg, letter)
		case form.isBool && !strings.HasPrefix(rest, "="):
			if err := n.emit(form, "-"+letter, "", false); err != nil {
				return err
			}
		default:
			return n.emit(form, "-"+letter, strings.TrimPrefix(rest, "="), rest != "")
		}
	}
	return nil
}

func (n *normaliser) unknownLetter(arg, letter string) error {
	if len(arg) == 2 {
		return Usagef("unknown flag %q", arg)
	}
	if _, ok := n.known[arg[1:]]; ok {
		return Usagef("unknown flag %q in %q (did you mean %q?)", "-"+letter, arg, "-"+arg)
	}
	return Usagef("unknown flag %q in %q", "-"+letter, arg)
}

func (n *normaliser) emit(form flagForm, typed, value string, hasValue bool) error {
	switch {
	case form.refused():
		return Usagef("%s", form.flag.Refusal(typed))
	case form.isBool && !hasValue:
		n.line.Flags = append(n.line.Flags, "--"+form.name)
		return nil
	case form.isBool:
		if _, err := strconv.ParseBool(value); err != nil && !form.worded() {
			return Usagef("invalid %s %q: true or false is expected", typed, value)
		}
	case !hasValue:
		if len(n.args) == 0 {
			return Usagef("flag %s needs a value", typed)
		}
		value = n.next()
	}
	flag := "--" + form.name + "=" + value
	n.line.Flags = append(n.line.Flags, flag)
	if n.line.typed == nil {
		n.line.typed = map[string]string{}
	}
	n.line.typed[flag] = typed
	return nil
}

func (n *normaliser) longNames() []string {
	var names []string
	for name, form := range n.known {
		if len(name) > 1 && !form.refused() {
			names = append(names, name)
		}
	}
	return sorted(names)
}
