// Package builders keeps the named settings that `buildx create` makes: a builder is no daemon here, but what builds
// with it do where their command line says nothing.
package builders

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Default is the builder that is always there.
const Default = "default"

// Builder is one named setting.
type Builder struct {
	Name      string   `json:"-"`
	Platforms []string `json:"platforms,omitempty"` // of builds that name none
	Jobs      int      `json:"jobs,omitempty"`      // steps at a time; 0: as many as there are processors
}

// Dir is where a user's builders are: a file each, and the name of the current one.
type Dir struct{ path string }

// Open finds the directory of the user whose environment it is.
func Open(getenv func(string) string) Dir {
	base := getenv("XDG_CONFIG_HOME")
	if base == "" {
		base = filepath.Join(getenv("HOME"), ".config")
	}
	return Dir{filepath.Join(base, "wherry", "builders")}
}

const (
	suffix  = ".json"
	current = "current"
)

func (d Dir) file(name string) string { return filepath.Join(d.path, name+suffix) }

// CheckName says what is wrong with the name of a builder.
func CheckName(name string) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`).MatchString(name) {
		return errdefs.New(errdefs.ErrInvalid, "invalid name of a builder %q: want letters, digits, - _ .", name)
	}
	return nil
}

// Put makes a builder, which must not be there yet. The last step is that its file appears.
func (d Dir) Put(b Builder) error {
	if err := CheckName(b.Name); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	_, err = os.Stat(d.file(b.Name))
	if b.Name == Default || err == nil {
		return errdefs.New(errdefs.ErrInUse, "there is a builder %q already (wherry buildx rm %s removes it)", b.Name, b.Name)
	}
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return atomicfile.Write(d.file(b.Name), data, 0o600, atomicfile.Durable)
}

// lock lets one process write at a time. It goes with the process.
func (d Dir) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// Get reads a builder.
func (d Dir) Get(name string) (Builder, error) {
	b := Builder{Name: name}
	if name == Default {
		return b, nil
	}
	if err := CheckName(name); err != nil {
		return b, err
	}
	data, err := os.ReadFile(d.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return b, errdefs.New(errdefs.ErrNotFound, "no builder %q (wherry buildx ls shows them)", name)
	} else if err != nil {
		return b, err
	}
	if err := json.Unmarshal(data, &b); err != nil || b.Jobs < 0 {
		return b, errdefs.New(errdefs.ErrBroken, "builder %q is damaged (wherry buildx rm %s removes it)", name, name)
	}
	return b, nil
}

// Remove removes a builder. Was it the current one, the default one is that again.
func (d Dir) Remove(name string) error {
	if name == Default {
		return errdefs.New(errdefs.ErrInvalid, "the builder %s is always there", Default)
	}
	if err := CheckName(name); err != nil {
		return err
	}
	err := os.Remove(d.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return errdefs.New(errdefs.ErrNotFound, "no builder %q (wherry buildx ls shows them)", name)
	}
	return err
}

// Names are those of all builders, the default one first.
func (d Dir) Names() ([]string, error) {
	names := []string{Default}
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && CheckName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names[1:])
	return names, nil
}

// Use makes a builder the current one.
func (d Dir) Use(name string) error {
	if _, err := d.Get(name); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return atomicfile.Write(filepath.Join(d.path, current), []byte(name+"\n"), 0o600, atomicfile.Durable)
}

// Current is the name of the builder that counts where none is named. One that was removed does not.
func (d Dir) Current() string {
	data, err := os.ReadFile(filepath.Join(d.path, current))
	name := strings.TrimSpace(string(data))
	if err != nil || CheckName(name) != nil {
		return Default
	}
	if _, err := os.Stat(d.file(name)); err != nil {
		return Default
	}
	return name
}

// Chosen is the builder that a command line names, else the environment, else the user's current one.
func (d Dir) Chosen(named string, getenv func(string) string) (Builder, error) {
	if named == "" {
		named = getenv("BUILDX_BUILDER")
	}
	if named == "" {
		named = d.Current()
	}
	return d.Get(named)
}
