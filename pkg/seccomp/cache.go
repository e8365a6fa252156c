package seccomp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Cache keeps compiled filters in Dir (layout.Dirs.Cache()/seccomp), each in a file named by its key. It is for a
// runtime that takes Annotation (ociruntime.Crun).
type Cache struct{ Dir string }

// A filter is a list of 8-byte instructions; the kernel takes at most 4096 of them.
const (
	instruction = 8
	maxFilter   = 4096 * instruction
)

// keyVersion changes with what Build makes of a profile (the version of the library that holds the default one) and
// with what Harvest makes of a filter.
const keyVersion = "2 docker-28.5.2"

// Placeholder is the section that goes with Annotation: it denies everything, so that a runtime which does not know
// the annotation starts nothing rather than something without a filter.
func Placeholder() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
}

// Key names the filter of profile and caps as runtime (path of the binary) compiles it. It reads no profile. The
// kernel's release is in it, because a profile may depend on it.
func (c Cache) Key(profile string, caps []string, runtimePath string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(runtimePath, &st); err != nil {
		return "", fmt.Errorf("runtime %s: %w", runtimePath, err)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", fmt.Errorf("read the kernel's release: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00", keyVersion, runtime.GOARCH, unix.ByteSliceToString(uts.Release[:]), runtimePath)
	fmt.Fprintf(h, "%d %d %d %d %d\x00%d\x00", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, libseccomp())
	fmt.Fprintf(h, "%s\x00%s", strings.Join(caps, ","), profile)
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// libseccomp is the time of change of the library that compiles the filter, where it is in a usual place.
func libseccomp() int64 {
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf"}
	for _, dir := range []string{"/usr/lib/" + triplet[runtime.GOARCH], "/usr/lib64", "/usr/lib"} {
		var st unix.Stat_t
		if unix.Stat(dir+"/libseccomp.so.2", &st) == nil {
			return st.Mtim.Nano()
		}
	}
	return 0
}

// Load returns the filter kept under key as the value of Annotation, or "" when there is none that can be trusted.
func (c Cache) Load(key string) string {
	data, err := readFilter(filepath.Join(c.Dir, key))
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(data)
}

// Harvest keeps the filter that the runtime left in file (Runtime.SeccompFile) under key. It is called after a
// start that used the plain section. Without a file there is nothing to keep; a filter that does not look right is
// an error.
func (c Cache) Harvest(key, file string) error {
	if file == "" {
		return nil
	}
	data, err := readFilter(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the container ended at once, and its run-time state with it
	}
	if err != nil {
		return fmt.Errorf("keep seccomp filter: %w", err)
	}
	if tree, err := Tree(data); err == nil {
		data = tree
	} else if !errors.Is(err, errShape) {
		return fmt.Errorf("keep seccomp filter: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("keep seccomp filter: %w", err)
	}
	path := filepath.Join(c.Dir, key)
	if old, err := readFilter(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return writeFilter(path, data)
}

// writeFilter works beside others that write the same file: each has a temporary file of its own.
func writeFilter(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".filter-*")
	if err != nil {
		return fmt.Errorf("keep seccomp filter: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep seccomp filter: %w", err)
	}
	return nil
}

// readFilter reads a filter that nobody but this user can have written.
func readFilter(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is not a file", path)
	case int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to somebody else", path)
	case st.Mode&0o022 != 0:
		return nil, fmt.Errorf("%s can be written by others", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFilter+1))
	if err != nil {
		return nil, err
	}
	return data, checkFilter(data)
}

// checkFilter refuses what the kernel would not take, and what lets everything through.
func checkFilter(data []byte) error {
	switch {
	case len(data) == 0 || len(data)%instruction != 0 || len(data) > maxFilter:
		return fmt.Errorf("a filter of %d bytes is no list of instructions", len(data))
	case len(data) < 4*instruction:
		return fmt.Errorf("a filter of %d instructions decides nothing", len(data)/instruction)
	case !bytes.Equal(data[:2], []byte{0x20, 0}): // BPF_LD|BPF_W|BPF_ABS
		return errors.New("the filter does not begin by loading the architecture")
	}
	return nil
}
