package cmdkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// part is one piece of a template that only names fields.
type part struct {
	literal string
	field   string
	index   []int
}

// simpleTemplate splits a template that holds nothing but text and {{.Field}}; ok is false for any other.
func simpleTemplate(format string) (parts []part, ok bool) {
	for format != "" {
		literal, rest, found := strings.Cut(format, "{{")
		if literal != "" {
			parts = append(parts, part{literal: literal})
		}
		if !found {
			return parts, true
		}
		action, after, closed := strings.Cut(rest, "}}")
		name, dotted := strings.CutPrefix(strings.TrimSpace(action), ".")
		if !closed || !dotted || !isIdentifier(name) {
			return nil, false
		}
		parts = append(parts, part{field: name})
		format = after
	}
	return parts, true
}

func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// resolveParts finds the fields of a row type once for all rows.
func resolveParts(parts []part, row reflect.Type, format string) error {
	for i := range parts {
		if parts[i].field == "" {
			continue
		}
		f, ok := row.FieldByName(parts[i].field)
		if !ok || !f.IsExported() {
			return noField(format, parts[i].field, row)
		}
		parts[i].index = f.Index
	}
	return nil
}

func noField(format, field string, row reflect.Type) error {
	var names []string
	for i := range row.NumField() {
		if f := row.Field(i); f.IsExported() {
			names = append(names, f.Name)
		}
	}
	return Usagef("invalid --format %q: there is no field %q%s, only %s",
		format, field, Suggest(field, names, ""), strings.Join(names, ", "))
}

func parseTemplate(format string, funcs template.FuncMap) (*template.Template, error) {
	if funcs == nil {
		funcs = formatFuncs()
	}
	t, err := template.New("").Funcs(funcs).Option("missingkey=error").Parse(format)
	if err != nil {
		return nil, templateError(format, err)
	}
	return t, nil
}

// templateError says what is wrong without the template engine's positions.
func templateError(format string, err error) error {
	text := err.Error()
	var exec template.ExecError
	if errors.As(err, &exec) {
		text = exec.Err.Error()
	}
	text = strings.TrimPrefix(text, "template: :1: ")
	if at := strings.LastIndex(text, ">: "); at >= 0 {
		text = text[at+3:]
	}
	return Usagef("invalid --format %q: %s", format, text)
}

// unescape turns the two characters \t and \n of a shell's argument into a tab and a line end.
func unescape(format string) string {
	return strings.NewReplacer(`\t`, "\t", `\n`, "\n", `\r`, "\r").Replace(format)
}

// formatFuncs are Docker's template functions; the engine itself brings println, slice, index and the like.
func formatFuncs() template.FuncMap {
	return template.FuncMap{
		"json":     jsonText,
		"join":     join,
		"split":    strings.Split,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"title":    title,
		"truncate": truncate,
		"pad":      pad,
	}
}

// headingFuncs leave a heading as it is where formatFuncs would change a value's form.
func headingFuncs() template.FuncMap {
	same := func(v any, _ ...any) any { return v }
	funcs := formatFuncs()
	for _, name := range []string{"json", "join", "split", "truncate"} {
		funcs[name] = same
	}
	return funcs
}

func jsonText(v any) (string, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(present(v))
	return strings.TrimSuffix(buf.String(), "\n"), err
}

// absent stands in a template for a part of a document that JSON leaves out: {{if}} takes it as false, printed it is
// <nil>, and no other part of the template fails because of it.
type absent struct{}

// present is v, as plain made it, without what JSON leaves out.
func present(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for name, part := range v {
			if _, left := part.(*absent); !left {
				kept[name] = present(part)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(v))
		for i := range v {
			kept[i] = present(v[i])
		}
		return kept
	}
	return v
}

// join joins the elements of any slice.
func join(list any, sep string) (string, error) {
	v := reflect.ValueOf(list)
	if !v.IsValid() {
		return "", nil
	}
	if v.Kind() != reflect.Slice {
		return "", fmt.Errorf("join needs a list, not %s", v.Kind())
	}
	words := make([]string, v.Len())
	for i := range words {
		words[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return strings.Join(words, sep), nil
}

func title(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return strings.ToUpper(string(r)) + s[size:]
}

func truncate(s string, length int) string {
	runes := []rune(s)
	if length < 0 || len(runes) <= length {
		return s
	}
	return string(runes[:length])
}

func pad(s string, before, after int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", max(0, before)) + s + strings.Repeat(" ", max(0, after))
}

// plain is v as JSON would decode it, with names from the json tags and times as text, except that numbers keep
// their type, so that templates can compare them. With whole, a part that JSON leaves out has all its fields, empty.
func plain(v reflect.Value, whole bool) any {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil
	}
	if t, ok := v.Interface().(time.Time); ok {
		return t.Format(time.RFC3339Nano)
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := map[string]any{}
		plainFields(v, fields, whole)
		return fields
	case reflect.Map:
		entries := make(map[string]any, v.Len())
		for _, key := range v.MapKeys() {
			entries[fmt.Sprint(key.Interface())] = plain(v.MapIndex(key), whole)
		}
		return entries
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i), whole)
		}
		return list
	}
	return v.Interface()
}

func plainFields(v reflect.Value, into map[string]any, whole bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case !f.IsExported() || name == "-":
			continue
		case f.Anonymous && name == "":
			plainFields(v.Field(i), into, whole)
			continue
		case name == "":
			name = f.Name
		}
		if slices.Contains(strings.Split(options, ","), "omitempty") && v.Field(i).IsZero() && v.Field(i).Kind() == reflect.Pointer {
			into[name] = (*absent)(nil)
			if whole {
				into[name] = plain(reflect.Zero(f.Type.Elem()), whole)
			}
			continue
		}
		into[name] = plain(v.Field(i), whole)
	}
}
