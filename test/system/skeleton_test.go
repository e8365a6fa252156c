package system

import (
	"os"
	"strings"
	"testing"
)

// TestOwnLayerIsEmpty: what is mounted into every container leaves no trace in the layer of one that wrote nothing.
func TestOwnLayerIsEmpty(t *testing.T) {
	t.Parallel()
	name := finished(t, "test -s /etc/hosts && test -s /etc/resolv.conf && test -d /proc/self && test -c /dev/null")
	if code := strings.TrimSpace(shared.Must(t, "inspect", "-f", "{{.State.ExitCode}}", name)); code != "0" {
		t.Fatalf("the places are not there: exit code %s", code)
	}
	upper := strings.TrimSpace(shared.Must(t, "inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name))
	entries, err := os.ReadDir(upper)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is in the container's own layer", e.Name())
	}
}
