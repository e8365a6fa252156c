package file

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain goes into a user namespace when it is not root: what is copied belongs to user 0.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 && os.Getenv("_FILE_TEST_INSIDE") == "" {
		unshare, err := exec.LookPath("unshare")
		self, selfErr := os.Executable()
		if err == nil && selfErr == nil && exec.Command(unshare, "-rm", "true").Run() == nil {
			err = syscall.Exec(unshare, append([]string{"unshare", "-rm", self}, os.Args[1:]...), append(os.Environ(), "_FILE_TEST_INSIDE=1"))
		}
		fmt.Println("no user namespace to test in:", err, selfErr)
		return
	}
	unix.Umask(0o022)
	os.Exit(m.Run())
}

// oneUser tells whether the user namespace has no user but root.
func oneUser() bool {
	data, _ := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(data))
	return len(fields) == 3 && fields[2] == "1"
}

// plant makes files from lines: "d PATH MODE", "f PATH MODE [CONTENT]", "l PATH TARGET", "h PATH OTHER", "p PATH".
func plant(t testing.TB, root, lines string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		at := filepath.Join(root, w[1])
		noError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		var mode uint32
		if w[0] == "d" || w[0] == "f" {
			_, err := fmt.Sscanf(w[2], "%o", &mode)
			noError(t, err)
		}
		switch w[0] {
		case "d":
			noError(t, os.MkdirAll(at, 0o755))
			noError(t, unix.Chmod(at, mode))
		case "f":
			noError(t, os.WriteFile(at, []byte(strings.Join(w[3:], " ")), 0o600))
			noError(t, unix.Chmod(at, mode))
		case "l":
			noError(t, os.Symlink(w[2], at))
		case "h":
			noError(t, os.Link(filepath.Join(root, w[2]), at))
		case "p":
			noError(t, unix.Mkfifo(at, 0o600))
		}
	}
}

// listing describes a tree, one line a file.
func listing(t testing.TB, root string, times bool) string {
	t.Helper()
	var lines []string
	names := map[uint64]string{}
	noError(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		what := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			what = " " + string(data)
			if len(data) > 40 {
				what = fmt.Sprint(" ", len(data), " bytes")
			}
			if first, ok := names[st.Ino]; ok && st.Nlink > 1 {
				what = " = " + first
			}
			names[st.Ino] = rel
		case unix.S_IFLNK:
			to, _ := os.Readlink(p)
			what = " -> " + to
		}
		line := fmt.Sprintf("%s %06o %d:%d%s", rel, st.Mode, st.Uid, st.Gid, what)
		if times {
			line += fmt.Sprint(" @", st.Mtim.Sec)
		}
		lines = append(lines, line)
		return nil
	}))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// age gives every file below root a time in the past.
func age(t testing.TB, root string) {
	t.Helper()
	var all []string
	noError(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
		all = append(all, p)
		return err
	}))
	for i := len(all) - 1; i >= 0; i-- {
		at := unix.NsecToTimespec((1e9 + int64(i)) * 1e9)
		ts := []unix.Timespec{at, at}
		noError(t, unix.UtimesNanoAt(unix.AT_FDCWD, all[i], ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}
