package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// User is a container that stands on an image.
type User struct {
	ID, Name string
	Image    string   // id of the image
	Layers   []string // of the image, top first, and of the mounted ones: must stay as long as the container
	Mounted  []string // ids of the images that it mounts
	Running  bool
}

// The parts of a container's record that matter here (libpod/record; pkg must not know the engine). Fields that are
// missing or unknown do no harm.
type containerConfig struct {
	ID, Name string
	Image    imageRef
	Mounts   []struct{ Image *imageRef }
}

type imageRef struct {
	ID     string
	Layers []string
}

type containerLive struct {
	Pid          int
	PidStart     uint64
	Monitor      int
	MonitorStart uint64
	BootID       string
}

// Users lists the containers. A record that cannot be read is passed over: it has no image that could be known, and
// a broken record must not stand in the way of cleaning up.
func Users(dirs layout.Dirs) ([]User, error) {
	entries, err := os.ReadDir(dirs.Containers())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	boot, _ := procs.BootID()
	var users []User
	for _, e := range entries {
		if u, ok := readUser(dirs, e.Name(), boot); ok {
			users = append(users, u)
		}
	}
	return users, nil
}

func readUser(dirs layout.Dirs, id, boot string) (User, bool) {
	dir := dirs.Container(id)
	var config containerConfig
	if !readJSON(filepath.Join(dir, "config.json"), &config) || config.Image.ID == "" {
		return User{}, false
	}
	u := User{ID: id, Name: config.Name, Image: strings.TrimPrefix(config.Image.ID, "sha256:"), Layers: config.Image.Layers}
	for _, m := range config.Mounts {
		if m.Image != nil {
			u.Mounted, u.Layers = append(u.Mounted, m.Image.ID), append(u.Layers, m.Image.Layers...)
		}
	}
	var state struct{ Name string }
	if readJSON(filepath.Join(dir, "state.json"), &state) && state.Name != "" {
		u.Name = state.Name
	}
	var live containerLive
	if readJSON(filepath.Join(dirs.ContainerRun(id), "live.json"), &live) && live.BootID == boot {
		u.Running = isAlive(live.Pid, live.PidStart) || isAlive(live.Monitor, live.MonitorStart)
	}
	return u, true
}

func isAlive(pid int, start uint64) bool { return pid > 0 && procs.Alive(pid, start) }

func readJSON(path string, into any) bool {
	data, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(data, into) == nil
}

// String is what a user knows the container by.
func (u User) String() string {
	if u.Name != "" {
		return u.Name
	}
	return u.ID[:min(12, len(u.ID))]
}

// usersOf are the containers that are made from an image or mount it.
func usersOf(users []User, image string) []User {
	var out []User
	for _, u := range users {
		if u.Image == image || slices.Contains(u.Mounted, image) {
			out = append(out, u)
		}
	}
	return out
}
