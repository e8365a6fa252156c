package system

import (
	"os"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// On a machine where an ordinary user's containers cannot run, info says what is missing, beside all that it can see.
func TestInfoWhereNothingRuns(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root needs no user namespace")
	}
	t.Parallel()
	s := &testkit.Store{Bin: shared.Bin, Data: dir(t), Run: dir(t) + "/run", Env: []string{"PATH=" + dir(t)}}
	r := s.Try(t, "info")
	if r.Code != 125 || !strings.Contains(r.Stderr, "Error: newuidmap is not installed (sudo apt install uidmap") || !strings.Contains(r.Stdout, "Subordinate UIDs: ") {
		t.Errorf("exit %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	if left := entries(s.Data); len(left) > 0 {
		t.Errorf("info left in the store: %v", left)
	}
}
