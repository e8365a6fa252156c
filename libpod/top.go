package libpod

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Top lists the processes of a running container: a heading and a row each. Without words, or with Podman's descriptors
// (user, pid, args, ...), /proc is read; words that begin with a dash are options of the host's ps.
func (e *Engine) Top(ctx context.Context, ref string, words []string) ([][]string, error) {
	pids, err := e.processes(ref)
	if err != nil {
		return nil, err
	}
	if len(words) > 0 && strings.HasPrefix(words[0], "-") {
		return psOfHost(ctx, words, pids)
	}
	return describe(words, pids)
}

// TopHost is Top by the host's ps with the given arguments, which need no dash: aux.
func (e *Engine) TopHost(ctx context.Context, ref string, args []string) ([][]string, error) {
	pids, err := e.processes(ref)
	if err != nil {
		return nil, err
	}
	return psOfHost(ctx, args, pids)
}

// processes are the pids of all that runs in the container that ref names.
func (e *Engine) processes(ref string) ([]int, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return nil, err
	}
	c, err := e.lookSettled(id)
	if err != nil {
		return nil, err
	}
	if !c.running() {
		return nil, errdefs.New(errdefs.ErrState, "container %q is not running (wherry start %s starts it)", c.name(), c.name())
	}
	return c.processes()
}

// processes are the pids of all that runs in a container: what its control group holds, or, without one, what is in its
// pid namespace.
func (c *container) processes() ([]int, error) {
	if len(c.live.Cgroups) > 0 {
		return processesBelow(c.live.Cgroups[0])
	}
	const proc = "/proc"
	inside, err := os.Readlink(filepath.Join(proc, strconv.Itoa(c.live.Pid), "ns/pid"))
	if err != nil {
		return nil, errdefs.New(errdefs.ErrState, "container %q has just ended", c.name())
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink(filepath.Join(proc, entry.Name(), "ns/pid")); err == nil && ns == inside {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// processesBelow reads the processes of a control group and those below it. One that goes away meanwhile holds none.
func processesBelow(dir string) ([]int, error) {
	var pids []int
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, word := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		below, err := processesBelow(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		pids = append(pids, below...)
	}
	return pids, nil
}
