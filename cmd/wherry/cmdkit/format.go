package cmdkit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Headed is implemented by a row type whose columns have headings other than their names in capitals.
type Headed interface {
	Headings() map[string]string // by field name
}

// Listing is what a list command was asked to print.
type Listing struct {
	Format    string // --format: empty or "table" for Table, "table TEMPLATE", "json", or a Go template
	Table     string // the default columns, as a template: "{{.ID}}\t{{.Names}}"
	NoHeading bool
}

// Print writes rows, a slice of structs, the way --format asks for; table is the default template.
func (e *Env) Print(rows any, format, table string) error {
	return e.PrintListing(rows, Listing{Format: format, Table: table})
}

// PrintListing is Print with all choices. JSON is one object a line, as Docker prints it.
func (e *Env) PrintListing(rows any, l Listing) error {
	format := unescape(strings.TrimSpace(l.Format))
	list := reflect.ValueOf(rows)
	var buf bytes.Buffer
	var err error
	printable := func(text []byte) []byte { return text } // tables are by themselves
	switch columns, isTable := strings.CutPrefix(format, "table"); {
	case format == "json":
		err, printable = writeJSONLines(&buf, list), escapeJSON
	case format == "":
		err = writeTable(&buf, list, unescape(l.Table), l.NoHeading)
	case isTable && (columns == "" || unicode.IsSpace(rune(columns[0]))):
		if columns = strings.TrimSpace(columns); columns == "" {
			columns = unescape(l.Table)
		}
		err = writeTable(&buf, list, columns, l.NoHeading)
	default:
		err, printable = writeTemplate(&buf, list, format, nil), e.forTerminal
	}
	if err != nil {
		return err
	}
	_, err = e.Out.Write(printable(buf.Bytes()))
	return err
}

// PrintOne writes one document: indented JSON for an empty format and "json", else through the template. In a
// template a field may have its name in JSON or in Go; times are text as in JSON.
func (e *Env) PrintOne(doc any, format string) error {
	format = unescape(strings.TrimSpace(format))
	var buf bytes.Buffer
	if format == "" || format == "json" {
		if err := writeIndented(&buf, doc); err != nil {
			return err
		}
		_, err := e.Out.Write(escapeJSON(buf.Bytes()))
		return err
	}
	if err := writeDocument(&buf, doc, format); err != nil {
		return err
	}
	_, err := e.Out.Write(e.forTerminal(buf.Bytes()))
	return err
}

// Inspect prints what get finds of each name: all as one list of JSON, or each through the template. What was not found
// is told afterwards, as by Each.
func Inspect[T any](env *Env, names []string, format string, get func(name string) (T, error)) error {
	docs := []T{}
	missing := Each(env, names, func(name string) (string, error) {
		doc, err := get(name)
		if err == nil {
			docs = append(docs, doc)
		}
		return "", err
	})
	if format == "" || format == "json" {
		if err := env.PrintOne(docs, format); err != nil {
			return err
		}
		return missing
	}
	for _, doc := range docs {
		if err := env.PrintOne(doc, format); err != nil {
			return err
		}
	}
	return missing
}

// forTerminal is what a template of the user's made: as it is for a program, printable for a terminal.
func (e *Env) forTerminal(text []byte) []byte {
	if IsTerminal(e.OutFile) {
		return printableLines(text)
	}
	return text
}

func writeIndented(w io.Writer, doc any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return enc.Encode(doc)
}

// writeDocument tries the names of JSON first, then those of Go: Docker's users write .Id and .ID. A field of a part
// that is not there is empty, as in Podman: {{.State.Health.Status}} of a container without a health check.
func writeDocument(w *bytes.Buffer, doc any, format string) error {
	t, err := parseTemplate(format, nil)
	if err != nil {
		return err
	}
	of := reflect.ValueOf(doc)
	var first error
	for _, data := range []func() any{
		func() any { return plain(of, false) },
		func() any { return plain(of, true) },
		func() any { return doc },
	} {
		if err = t.Execute(w, data()); err == nil {
			w.WriteByte('\n')
			return nil
		}
		w.Reset()
		first = cmp.Or(first, err)
	}
	return templateError(format, first)
}

func writeJSONLines(w io.Writer, list reflect.Value) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range list.Len() {
		if err := enc.Encode(list.Index(i).Interface()); err != nil {
			return err
		}
	}
	return nil
}

// writeTable lays columns out as Docker does: at least ten wide, three blanks between them.
func writeTable(w io.Writer, list reflect.Value, columns string, noHeading bool) error {
	tab := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	if !noHeading {
		if err := writeHeading(tab, list.Type().Elem(), columns); err != nil {
			return err
		}
	}
	var lines bytes.Buffer
	if err := writeTemplate(&lines, list, columns, Printable); err != nil {
		return err
	}
	if _, err := tab.Write(printableLines(lines.Bytes())); err != nil {
		return err
	}
	return tab.Flush()
}

func writeHeading(w io.Writer, row reflect.Type, columns string) error {
	headings := headingsOf(row)
	if parts, ok := simpleTemplate(columns); ok {
		for _, p := range parts {
			if p.field == "" {
				io.WriteString(w, p.literal)
				continue
			}
			heading, known := headings[p.field]
			if !known {
				return noField(columns, p.field, row)
			}
			io.WriteString(w, heading)
		}
	} else {
		t, err := parseTemplate(columns, headingFuncs())
		if err != nil {
			return err
		}
		if err := t.Execute(w, headings); err != nil {
			return templateError(columns, err)
		}
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// headings are the names over columns, by field.
type headings map[string]string

// Label is the heading of {{.Label "com.example.my-key"}}: as in Docker the last part of the name, MY KEY.
func (headings) Label(name string) string {
	name = name[strings.LastIndexByte(name, '.')+1:]
	return strings.ToUpper(strings.NewReplacer("-", " ", "_", " ").Replace(name))
}

// headingsOf maps every field and method of a row to its heading.
func headingsOf(row reflect.Type) headings {
	headings := headings{}
	for i := range row.NumField() {
		if f := row.Field(i); f.IsExported() {
			headings[f.Name] = capitals(f.Name)
		}
	}
	for i := range row.NumMethod() {
		headings[row.Method(i).Name] = capitals(row.Method(i).Name)
	}
	if h, ok := reflect.Zero(row).Interface().(Headed); ok {
		for name, heading := range h.Headings() {
			headings[name] = heading
		}
	}
	return headings
}

// capitals turns CreatedAt into CREATED AT, and leaves ID as it is.
func capitals(name string) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		if lower && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// writeTemplate writes one line per row. Templates of plain fields, as all defaults are, need no template engine; with
// them the texts go through cell, if there is one.
func writeTemplate(w *bytes.Buffer, list reflect.Value, format string, cell func(string) string) error {
	parts, ok := simpleTemplate(format)
	if !ok {
		return writeFullTemplate(w, list, format)
	}
	if err := resolveParts(parts, list.Type().Elem(), format); err != nil {
		return err
	}
	for i := range list.Len() {
		row := list.Index(i)
		for _, p := range parts {
			if p.field == "" {
				w.WriteString(p.literal)
				continue
			}
			v := row.FieldByIndex(p.index)
			switch {
			case v.Kind() == reflect.String && cell != nil:
				w.WriteString(cell(v.String()))
			case v.Kind() == reflect.String:
				w.WriteString(v.String())
			default:
				fmt.Fprint(w, v.Interface())
			}
		}
		w.WriteByte('\n')
	}
	return nil
}

func writeFullTemplate(w *bytes.Buffer, list reflect.Value, format string) error {
	t, err := parseTemplate(format, nil)
	if err != nil {
		return err
	}
	for i := range list.Len() {
		if err := t.Execute(w, list.Index(i).Interface()); err != nil {
			return templateError(format, err)
		}
		w.WriteByte('\n')
	}
	return nil
}
