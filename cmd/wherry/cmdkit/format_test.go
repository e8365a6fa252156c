package cmdkit

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

type testRow struct {
	ID     string
	Names  string
	Labels string
	Size   int
}

func (testRow) Headings() map[string]string { return map[string]string{"ID": "CONTAINER ID"} }

// Label is a method for templates.
func (r testRow) Label(key string) string {
	_, value, _ := strings.Cut(r.Labels, key+"=")
	return value
}

func TestPrint(t *testing.T) {
	rows := []testRow{{"abc", "web", "a=1", 5}, {"def", "a-longer-name", "", 10}}
	for _, c := range []struct{ format, want string }{
		{"", "CONTAINER ID   NAMES\nabc            web\ndef            a-longer-name\n"},
		{"table", "CONTAINER ID   NAMES\nabc            web\ndef            a-longer-name\n"},
		{`table {{.Names}}\t{{.Size}}`, "NAMES           SIZE\nweb             5\na-longer-name   10\n"},
		{`table {{.Names | upper}}\t{{json .Size}}`, "NAMES           SIZE\nWEB             5\nA-LONGER-NAME   10\n"},
		{"json", `{"ID":"abc","Names":"web","Labels":"a=1","Size":5}` + "\n" + `{"ID":"def","Names":"a-longer-name","Labels":"","Size":10}` + "\n"},
		{"{{.ID}} {{ .Names }}", "abc web\ndef a-longer-name\n"},
		{`{{.Label "a"}}`, "1\n\n"},
		{"{{json .Names}}", "\"web\"\n\"a-longer-name\"\n"},
		{"{{truncate .Names 2}}{{pad .ID 1 1}}{{title .ID}}", "we abc Abc\na- def Def\n"},
		{"{{join (split .Names \"-\") \"+\"}}", "web\na+longer+name\n"},
		{"plain", "plain\nplain\n"},
		{"{{.Nmaes}}", `invalid --format "{{.Nmaes}}": there is no field "Nmaes" (did you mean "Names"?), only ID, Names, Labels, Size`},
		{"{{.ID", `invalid --format "{{.ID": unclosed action`},
		{"{{nope .ID}}", `invalid --format "{{nope .ID}}": function "nope" not defined`},
	} {
		var out bytes.Buffer
		got := ""
		if err := (&Env{Out: &out}).Print(rows, c.format, `{{.ID}}\t{{.Names}}`); err != nil {
			got = err.Error()
		} else {
			got = out.String()
		}
		if got != c.want {
			t.Errorf("%q:\n%s\nwant\n%s", c.format, got, c.want)
		}
	}
}

func TestPrintEmptyTable(t *testing.T) {
	var out bytes.Buffer
	if err := (&Env{Out: &out}).PrintListing([]testRow(nil), Listing{Table: `{{.ID}}\t{{.Names}}`}); err != nil || out.String() != "CONTAINER ID   NAMES\n" {
		t.Fatalf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := (&Env{Out: &out}).PrintListing([]testRow{{ID: "x"}}, Listing{Table: `{{.ID}}`, NoHeading: true}); err != nil || out.String() != "x\n" {
		t.Fatalf("%q, %v", out.String(), err)
	}
}

func TestPrintOne(t *testing.T) {
	type inner struct{ Pid int }
	type embedded struct{ Memory int64 }
	doc := struct {
		ID      string `json:"Id"`
		State   *inner
		Created time.Time
		Labels  map[string]string
		embedded
		Resources embedded
		Health    *inner `json:",omitempty"`
		Config    struct {
			Healthcheck *inner `json:",omitempty"`
		}
	}{ID: "abc", State: &inner{7}, Created: time.Unix(0, 0).UTC(), Labels: map[string]string{"a": "1"}, embedded: embedded{3}}
	for _, c := range []struct{ format, want string }{
		{"{{.Id}} {{.ID}}", "invalid"},
		{"{{.Id}}", "abc\n"},
		{"{{.ID}}", "abc\n"},
		{"{{.State.Pid}} {{if gt .State.Pid 5}}big{{end}}", "7 big\n"},
		{"{{.Created}}", "1970-01-01T00:00:00Z\n"},
		{`{{index .Labels "a"}}`, "1\n"},
		{"{{json .State}}", "{\"Pid\":7}\n"},
		{"{{.Nope}}", "invalid"},
		{"{{.Id}} {{.Config.Healthcheck}}", "abc <nil>\n"},
		{"{{.Id}} {{if .Health}}{{.Health.Pid}}{{else}}none{{end}}{{with .Health}}{{.Pid}}{{end}}", "abc none\n"},
		{"{{json .Health}} {{json .Config}}", "null {}\n"},
		{"{{.Id}} {{.Health.Pid}}", "abc 0\n"},
		{"{{.Health.Nope}}", "invalid"},
	} {
		var out bytes.Buffer
		err := (&Env{Out: &out}).PrintOne(doc, c.format)
		if c.want == "invalid" {
			if err == nil || !strings.HasPrefix(err.Error(), "invalid --format") {
				t.Errorf("%q: %v", c.format, err)
			}
		} else if err != nil || out.String() != c.want {
			t.Errorf("%q: %q, %v; want %q", c.format, out.String(), err, c.want)
		}
	}
}
