package system

import (
	"encoding/json"
	"testing"
)

// flag: volume ls --format --noheading --quiet
// flag: volume inspect --all --format
// flag: volume rm --all
func TestVolumeLists(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "volume", "create", "-l", "tier=db", "b")
	s.Must(t, "volume", "create", "a")
	want(t, "quiet", s.Must(t, "volume", "ls", "-q"), "a\nb")
	want(t, "noheading", joined(s.Must(t, "volume", "ls", "-n")), "local a local b")
	want(t, "a template", s.Must(t, "volume", "ls", "--format", `{{.Name}}/{{.Driver}}/{{.Label "tier"}}`), "a/local/\nb/local/db")
	var row struct{ Name, Mountpoint string }
	if err := json.Unmarshal([]byte(s.Must(t, "volume", "ls", "--format", "json", "--filter", "name=b")), &row); err != nil || row.Name != "b" || row.Mountpoint == "" {
		t.Errorf("json: %+v %v", row, err)
	}
	want(t, "all", s.Must(t, "volume", "inspect", "--all", "--format", "{{.Name}}"), "a\nb")
	want(t, "labels", s.Must(t, "volume", "inspect", "-f", "{{.Labels.tier}}", "b"), "db")
	s.Must(t, "volume", "rm", "--all")
	want(t, "left", s.Must(t, "volume", "ls", "-q"), "")
}
