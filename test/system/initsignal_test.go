package system

import (
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// A signal that comes before the init of a --init container has set itself up is not lost.
//
// flag: run --init
// flag: kill --signal
func TestInitSignalAtOnce(t *testing.T) {
	t.Parallel()
	name := shared.Name(t)
	for range 8 {
		shared.Must(t, "run", "-d", "--init", "--network", "none", "--name", name, testkit.Image, "sleep", "1000")
		shared.Must(t, "kill", "-s", "USR1", name)
		testkit.Eventually(t, "the signal ends it", func() bool { return field(t, name, "{{.State.Status}}") == "exited" })
		shared.Must(t, "rm", name)
	}
}
