package libpod

import (
	"regexp"
	"strings"
	"text/template"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/logdriver"
)

// logAttrs are the attributes that go with each line: the labels and variables that the driver's options name.
func (c *container) logAttrs() map[string]string {
	attrs := map[string]string{}
	labels := picker(c.Log.Opts["labels"]+","+c.Log.Opts["label"], c.Log.Opts["labels-regex"])
	for name, v := range c.Labels {
		if labels(name) {
			attrs[name] = v
		}
	}
	variables := picker(c.Log.Opts["env"], c.Log.Opts["env-regex"])
	for _, kv := range c.Process.Env {
		if name, v, _ := strings.Cut(kv, "="); variables(name) {
			attrs[name] = v
		}
	}
	return attrs
}

// picker tells names that are in the list or match the expression.
func picker(list, expression string) func(string) bool {
	wanted := map[string]bool{}
	for _, name := range splitList(list) {
		wanted[name] = true
	}
	if expression == "" {
		return func(name string) bool { return wanted[name] }
	}
	re, err := regexp.Compile(expression)
	if err != nil { // was checked at create
		return func(name string) bool { return wanted[name] }
	}
	return func(name string) bool { return wanted[name] || re.MatchString(name) }
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// tagFields are what a tag's template can name, as in Docker.
type tagFields struct {
	ID, FullID, Name                string
	ImageID, ImageFullID, ImageName string
	DaemonName, Command             string
}

// logTag is the name that the container has in its log: the tag option's template, else, where many write to one log,
// the short id.
func (c *container) logTag() string {
	text := c.Log.Opts["tag"]
	if text == "" && (c.Log.Driver == logdriver.Journald || c.Log.Driver == logdriver.Syslog) {
		return shortID(c.ID)
	}
	if !strings.Contains(text, "{{") {
		return text
	}
	tag, err := expandTag(text, tagFields{ID: shortID(c.ID), FullID: c.ID, Name: c.name(), ImageID: shortID(c.Image.ID),
		ImageFullID: "sha256:" + c.Image.ID, ImageName: c.Image.Name, DaemonName: "wherry", Command: strings.Join(c.Process.Args(), " ")})
	if err != nil { // was checked at create
		return shortID(c.ID)
	}
	return tag
}

func expandTag(text string, fields tagFields) (string, error) {
	t, err := template.New("").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, fields)
	return b.String(), err
}

// logFields say in each entry of the journal what the container is; the names are Docker's and Podman's.
func (c *container) logFields() map[string]string {
	if c.Log.Driver != logdriver.Journald {
		return nil
	}
	return map[string]string{"CONTAINER_ID": shortID(c.ID), logdriver.JournalID: c.ID, "CONTAINER_NAME": c.name(),
		"IMAGE_NAME": c.Image.Name}
}

// CheckLog refuses a log that cannot be written the way it is asked for.
func CheckLog(l record.Log) error {
	if _, err := logdriver.Parse(l.Driver, l.Opts); err != nil {
		return err
	}
	if tag := l.Opts["tag"]; strings.Contains(tag, "{{") {
		if _, err := expandTag(tag, tagFields{}); err != nil {
			text := err.Error()
			if at := strings.LastIndex(text, ">: "); at >= 0 {
				text = text[at+3:]
			}
			return errdefs.New(errdefs.ErrInvalid, "log option tag=%s: %s (it knows ID, FullID, Name, ImageID, ImageFullID, ImageName, Command)", tag, strings.TrimPrefix(text, "template: :1: "))
		}
	}
	for _, name := range []string{"labels-regex", "env-regex"} {
		if _, err := regexp.Compile(l.Opts[name]); err != nil {
			return errdefs.New(errdefs.ErrInvalid, "log option %s=%s: %v", name, l.Opts[name], err)
		}
	}
	return nil
}
