package system

import (
	"testing"
)

// A command with another run directory, as after su or from cron, must neither start a running container a second time
// nor remove it from under its processes.
func TestRunningUnderAnotherRunDirectory(t *testing.T) {
	t.Parallel()
	name := up(t, trapping)
	pid := hostPid(t, shared, name)
	elsewhere := shared.With("WHERRY_RUN=" + t.TempDir() + "/run")
	t.Cleanup(func() { elsewhere.Must(t, "system", "migrate") }) // ends its pause process
	elsewhere.MustFail(t, 1, "runs with the run directory "+shared.Run, "start", name)
	elsewhere.MustFail(t, 2, "runs with the run directory "+shared.Run, "rm", "-f", name)
	if again := hostPid(t, shared, name); again != pid || !alive(pid) {
		t.Errorf("process %d became %d", pid, again)
	}
	shared.Must(t, "stop", "-t", "0", name)
	elsewhere.Must(t, "rm", name)
}
