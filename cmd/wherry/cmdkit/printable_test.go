package cmdkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain, ünïcödé 世界 \u00a0": "plain, ünïcödé 世界 \u00a0",
		"\x1b]0;title\a":           `\x1b]0;title\x07`,
		"a\tb\nc\r\x7f":            `a\x09b\x0ac\x0d\x7f`,
		"\u009b31m \x9b31m":        `\u009b31m \x9b31m`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

type shownRow struct {
	Name   string
	Labels map[string]string
}

// What an image or a container calls itself does not command the terminal that lists it, nor add rows to the table.
func TestOutputIsPrintable(t *testing.T) {
	evil := "\x1b[31m\u009b31m\x7f"
	rows := []shownRow{{Name: "a" + evil + "\nforged", Labels: map[string]string{"k": evil}}}
	for _, format := range []string{"", "table {{.Name}}", "table {{.Name}}\t{{.Labels}}", "table {{upper .Name}}", "json"} {
		var out bytes.Buffer
		env := &Env{Out: &out}
		if err := env.Print(rows, format, "{{.Name}}"); err != nil {
			t.Fatal(err)
		}
		if hasControl(out.Bytes()) {
			t.Errorf("%q prints %q", format, out.String())
		}
		if lines := strings.Count(out.String(), "\n"); format != "json" && !strings.Contains(format, "upper") && lines != 2 {
			t.Errorf("%q prints %d lines: %q", format, lines, out.String())
		}
		var back shownRow
		if format == "json" && (json.Unmarshal(out.Bytes(), &back) != nil || back.Name != rows[0].Name || back.Labels["k"] != evil) {
			t.Errorf("json lost something: %q", out.String())
		}
	}
	var out, errs bytes.Buffer
	env := &Env{Out: &out, Err: &errs, Program: "wherry"}
	if err := env.PrintOne(rows[0], ""); err != nil || hasControl(out.Bytes()) {
		t.Errorf("%v: %q", err, out.String())
	}
	Report(env, errors.New("no "+evil))
	env.Warn("no " + evil)
	if hasControl(errs.Bytes()) || strings.Count(errs.String(), "\n") != 2 {
		t.Errorf("%q", errs.String())
	}
}

// A program that reads a template's output gets the bytes as they are.
func TestTemplateForProgramsIsRaw(t *testing.T) {
	var out bytes.Buffer
	env := &Env{Out: &out}
	if err := env.Print([]shownRow{{Name: "\x1b[31m"}}, "{{.Name}}", ""); err != nil || out.String() != "\x1b[31m\n" {
		t.Errorf("%v: %q", err, out.String())
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31m\u009b\x9b\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if strings.ContainsFunc(got, unicode.IsControl) || got != Printable(got) {
			t.Errorf("%q: %q", s, got)
		}
		if !strings.ContainsFunc(s, unicode.IsControl) && strings.ToValidUTF8(s, "") == s && got != s {
			t.Errorf("%q changed to %q", s, got)
		}
		if hasControl(printableLines([]byte(s))) && strings.ToValidUTF8(s, "") == s && !strings.Contains(s, "\ufffd") {
			t.Errorf("lines of %q", s)
		}
	})
}
