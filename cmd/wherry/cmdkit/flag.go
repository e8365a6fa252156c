package cmdkit

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// Flag is one flag of a command. It implements cli.Flag without that library's habits: lists are not split at
// commas, all names of a flag may be mixed, and an error names the flag as the user knows it. A word in
// backquotes in Usage names the value; "a|b" there lists the possible ones, CONTAINER, IMAGE, VOLUME, FILE and
// DIR complete.
type Flag struct {
	Name    string
	Aliases []string // one letter or more
	Usage   string
	Default string                   // shown in help
	Bool    bool                     // takes no value, or =true and =false
	Worded  bool                     // with Bool: Set also knows other values after a =
	Set     func(value string) error // called for every occurrence, in order
	Hidden  bool                     // neither in help nor in completion
	Later   bool                     // known, but its feature is not there yet
	Why     string                   // known, and not supported: why, or what to use in its place
	set     bool
}

// String is the flag as help shows it.
func (f *Flag) String() string { return "--" + f.Name }

// Names returns the name and the aliases.
func (f *Flag) Names() []string { return append([]string{f.Name}, f.Aliases...) }

// IsSet reports whether the flag was given.
func (f *Flag) IsSet() bool { return f.set }

// TakesValue reports whether a value follows.
func (f *Flag) TakesValue() bool { return !f.Bool }

// GetUsage returns Usage.
func (f *Flag) GetUsage() string { return f.Usage }

// GetValue is unused by our help.
func (f *Flag) GetValue() string { return f.Default }

// GetDefaultText returns Default.
func (f *Flag) GetDefaultText() string { return f.Default }

// GetEnvVars returns nothing: flags do not come from the environment.
func (f *Flag) GetEnvVars() []string { return nil }

// IsVisible reports whether help and completion show the flag.
func (f *Flag) IsVisible() bool { return !f.Hidden && !f.Later && f.Why == "" }

// Apply registers the flag under its name only: aliases are rewritten before parsing (see Normalise).
func (f *Flag) Apply(set *flag.FlagSet) error {
	set.Var(flagValue{f}, f.Name, f.Usage)
	return nil
}

// flagValue is a Flag as package flag wants it.
type flagValue struct{ f *Flag }

func (v flagValue) String() string   { return "" }
func (v flagValue) IsBoolFlag() bool { return v.f != nil && v.f.Bool }
func (v flagValue) Set(value string) error {
	v.f.set = true
	return v.f.Set(value)
}

// names splits "name alias a" into a flag without value.
func named(names, usage string) *Flag {
	fields := strings.Fields(names)
	return &Flag{Name: fields[0], Aliases: fields[1:], Usage: usage}
}

// Func is a flag whose value goes through set; names is "name alias a".
func Func(names, usage string, set func(string) error) *Flag {
	f := named(names, usage)
	f.Set = set
	return f
}

// Bool is a switch.
func Bool(p *bool, names, usage string) *Flag {
	f := named(names, usage)
	f.Bool = true
	if *p {
		f.Default = "true"
	}
	f.Set = func(s string) (err error) {
		*p, err = strconv.ParseBool(s)
		return plainNumberError(err)
	}
	return f
}

// String is a flag with any text as value; the last one counts.
func String(p *string, names, usage string) *Flag {
	f := named(names, usage)
	f.Default = *p
	f.Set = func(s string) error { *p = s; return nil }
	return f
}

// Strings is a flag that may be repeated.
func Strings(p *[]string, names, usage string) *Flag {
	return Func(names, usage, func(s string) error { *p = append(*p, s); return nil })
}

// Int is a flag with a whole number.
func Int(p *int, names, usage string) *Flag {
	f := named(names, usage)
	if *p != 0 {
		f.Default = strconv.Itoa(*p)
	}
	f.Set = func(s string) (err error) {
		*p, err = strconv.Atoi(s)
		return plainNumberError(err)
	}
	return f
}

// OptInt is a flag with a whole number that stays nil when it is not given.
func OptInt(p **int, names, usage string) *Flag {
	return Func(names, usage, func(s string) error {
		n, err := strconv.Atoi(s)
		*p = &n
		return plainNumberError(err)
	})
}

// Duration is a flag like 30s or 1m30s.
func Duration(p *time.Duration, names, usage string) *Flag {
	f := named(names, usage)
	if *p != 0 {
		f.Default = p.String()
	}
	f.Set = func(s string) (err error) {
		if *p, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("a duration looks like 30s or 1m30s")
		}
		return nil
	}
	return f
}

// KeyValues is a repeated flag KEY=VALUE, as labels are; a missing value is empty.
func KeyValues(p *map[string]string, names, usage string) *Flag {
	return Func(names, usage, func(s string) error {
		key, value, _ := strings.Cut(s, "=")
		if key == "" {
			return fmt.Errorf("no key before the =")
		}
		if *p == nil {
			*p = map[string]string{}
		}
		(*p)[key] = value
		return nil
	})
}

// Filters is a repeated flag KEY=VALUE that keeps every value of a key.
func Filters(p *map[string][]string, names, usage string) *Flag {
	return Func(names, usage, func(s string) error {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return fmt.Errorf("a filter looks like key=value")
		}
		if *p == nil {
			*p = map[string][]string{}
		}
		(*p)[key] = append((*p)[key], value)
		return nil
	})
}

// Later returns flags that are known and whose feature is not there yet: naming one is an error that says so.
// Each word is one flag, its names joined by commas: "publish,p ip".
func Later(list string) []cli.Flag {
	var flags []cli.Flag
	for _, word := range strings.Fields(list) {
		f := named(strings.ReplaceAll(word, ",", " "), "")
		f.Later = true
		f.Set = func(string) error { return fmt.Errorf("not there yet") }
		flags = append(flags, f)
	}
	return flags
}

// Refused returns flags of Docker or Podman that wherry will not have: naming one is an error that says why, or what to
// use in its place. The list is written like Later's.
func Refused(list, why string) []cli.Flag {
	flags := Later(list)
	for _, f := range flags {
		ours := f.(*Flag)
		ours.Later, ours.Why = false, why
	}
	return flags
}

// Refusal is what to say to somebody who typed the flag; empty for a flag that works.
func (f *Flag) Refusal(typed string) string {
	if long := "--" + f.Name; typed != long {
		typed += " (" + long + ")"
	}
	switch {
	case f.Why != "":
		return typed + " is not supported by wherry: " + f.Why
	case f.Later:
		return typed + " is not there yet"
	}
	return ""
}

func plainNumberError(err error) error {
	var num *strconv.NumError
	if err == nil {
		return nil
	}
	if e, ok := err.(*strconv.NumError); ok {
		num = e
	}
	switch {
	case num != nil && num.Func == "ParseBool":
		return fmt.Errorf("true or false is expected")
	case num != nil && num.Err == strconv.ErrRange:
		return fmt.Errorf("the number is too large")
	}
	return fmt.Errorf("a whole number is expected")
}
