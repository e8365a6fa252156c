package rootless

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless/join"
)

// create starts a pause process in a new user and mount namespace and maps the ids.
func create(single bool) (pause, error) {
	plan, err := planMapping(single)
	if err != nil {
		return pause{}, err
	}
	cmd := pauseCommand()
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	if err := startReady(cmd); err != nil {
		return pause{}, diagnoseClone(collect(), err)
	}
	p, err := finish(cmd.Process.Pid, plan)
	if err != nil {
		kill(cmd)
		return pause{}, err
	}
	return p, nil
}

// finish maps the ids of the namespace that pid has made.
func finish(pid int, plan mapping) (pause, error) {
	p, err := describe(pid)
	if err != nil {
		return pause{}, fmt.Errorf("pause process: %w", err)
	}
	if plan.single {
		err = writeSingle(pid)
	} else {
		err = plan.write(pid)
	}
	return p, err
}

// startIn starts a pause process in the user namespace of process member and checks that it is the namespace ns.
func startIn(member int, ns uint64) (pause, error) {
	cmd := pauseCommand(strconv.Itoa(member))
	if realuser.Early.Ran == 0 {
		nsenter, err := exec.LookPath("nsenter")
		if err != nil {
			return pause{}, err
		}
		cmd.Path = nsenter
		cmd.Args = []string{"nsenter", "--target", strconv.Itoa(member), "--user", "--preserve-credentials", "--",
			"unshare", "--mount", "--propagation", "unchanged", "sh", "-c", "echo; exec sleep infinity >/dev/null"}
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	}
	if err := startReady(cmd); err != nil {
		return pause{}, err
	}
	p, err := describe(cmd.Process.Pid)
	if err == nil && p.User != ns {
		err = fmt.Errorf("process %d was not in the user namespace %d any more", member, ns)
	}
	if err != nil {
		kill(cmd)
	}
	return p, err
}

// pauseCommand is this binary under the name that its stub knows. A binary without the stub lets a shell wait.
func pauseCommand(args ...string) *exec.Cmd {
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{join.PauseName}, args...), Env: []string{}}
	if realuser.Early.Ran == 0 {
		cmd.Path = "/bin/sh"
		cmd.Args = []string{"sh", "-c", "echo; exec sleep infinity >/dev/null"}
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	}
	cmd.Dir = "/"
	// A session of its own: the closing terminal's SIGHUP and a Ctrl-C do not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// readyTimeout is far above the two milliseconds that a pause process takes.
const readyTimeout = 10 * time.Second

// startReady starts the pause process and waits for the byte that it writes when it is in place.
func startReady(cmd *exec.Cmd) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	if err := r.SetReadDeadline(time.Now().Add(readyTimeout)); err != nil {
		return errors.Join(err, kill(cmd))
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
		return errors.Join(fmt.Errorf("pause process did not start: %w", err), kill(cmd))
	}
	return nil
}

func kill(cmd *exec.Cmd) error {
	err := cmd.Process.Kill()
	_, waitErr := cmd.Process.Wait()
	return errors.Join(err, waitErr)
}

// mapping is how the ids of a new namespace will be mapped: id 0 to the user, 1 and on to the subordinate ids.
type mapping struct {
	single     bool
	uids, gids []Range
	newuidmap  string
	newgidmap  string
}

// planMapping fails before anything is started if something is missing.
func planMapping(single bool) (mapping, error) {
	if single {
		return mapping{single: true}, nil
	}
	p := collectStatic()
	if err := p.missing(); err != nil {
		return mapping{}, err
	}
	return mapping{uids: p.SubUIDs, gids: p.SubGIDs, newuidmap: p.NewUIDMap.Path, newgidmap: p.NewGIDMap.Path}, nil
}

// write runs newuidmap and newgidmap side by side.
func (m mapping) write(pid int) error {
	gids := make(chan error, 1)
	go func() { gids <- runMapper(m.newgidmap, mapArgs(pid, os.Getgid(), m.gids)) }()
	err := runMapper(m.newuidmap, mapArgs(pid, os.Getuid(), m.uids))
	if gidErr := <-gids; err == nil {
		err = gidErr // both fail for the same reason most often; one line says it
	}
	if err != nil {
		return diagnoseMapping(collect(), err)
	}
	return nil
}

// mapArgs are "PID INSIDE OUTSIDE LENGTH ..." of newuidmap and newgidmap.
func mapArgs(pid, id int, ranges []Range) []string {
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(id), "1"}
	next := int64(1)
	for _, r := range ranges {
		args = append(args, strconv.FormatInt(next, 10), strconv.FormatInt(r.Start, 10), strconv.FormatInt(r.Length, 10))
		next += r.Length
	}
	return args
}

func runMapper(path string, args []string) error {
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

// writeSingle maps the user's own ids. The kernel asks for setgroups to be denied first.
func writeSingle(pid int) error {
	for _, f := range []struct{ name, content string }{
		{"setgroups", "deny"},
		{"uid_map", fmt.Sprintf("0 %d 1", os.Getuid())},
		{"gid_map", fmt.Sprintf("0 %d 1", os.Getgid())},
	} {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, f.name), []byte(f.content), 0); err != nil {
			return diagnoseMapping(collect(), err)
		}
	}
	return nil
}
