// Package layout knows where everything of one user lies on disk. It only computes paths.
package layout

import (
	"path/filepath"
)

// Dirs are the roots of one user's store, all absolute.
type Dirs struct {
	Data    string // durable: ~/.local/share/wherry, or /var/lib/wherry as root
	Run     string // tmpfs, gone at reboot: $XDG_RUNTIME_DIR/wherry, or /run/wherry
	Libexec string // companions: <dir of wherry>/libexec/wherry, or ../libexec/wherry
}

// Graph is the root of the images and layers, in containers/storage's format.
func (d Dirs) Graph() string { return filepath.Join(d.Data, "storage") }

// GraphRun is containers/storage's run root.
func (d Dirs) GraphRun() string { return filepath.Join(d.Run, "storage") }

// Containers holds one directory per container, named by its id.
func (d Dirs) Containers() string { return filepath.Join(d.Data, "containers") }

// Container is the durable directory of one container.
func (d Dirs) Container(id string) string { return filepath.Join(d.Data, "containers", id) }

// ContainerNames holds one symbolic link per name; its target is the container's id.
func (d Dirs) ContainerNames() string { return filepath.Join(d.Data, "names") }

// ContainerRun is the run-time directory of one container: pid, sockets, mount point, bundle.
func (d Dirs) ContainerRun(id string) string { return filepath.Join(d.Run, "c", id) }

// Volumes holds one directory per volume, named by the volume.
func (d Dirs) Volumes() string { return filepath.Join(d.Data, "volumes") }

// Trash holds what was renamed away to be deleted; whatever lies there may be removed by anybody.
func (d Dirs) Trash() string { return filepath.Join(d.Data, "trash") }

// Cache holds what can be made again at any time: image lookups, seccomp filters, the list of containers.
func (d Dirs) Cache() string { return filepath.Join(d.Data, "cache") }

// Runtime is the state directory given to the OCI runtime (--root).
func (d Dirs) Runtime() string { return filepath.Join(d.Run, "runtime") }

// StoreParts are the names of all that wherry keeps in Data, but for the trash and the image lock: what `system reset`
// takes out. Whatever else lies there is somebody else's and stays.
var StoreParts = []string{"storage", "containers", "names", "volumes", "secrets", "networks", "mapped", "cache", "build", "tmp", "events", "skeleton-1", "userns", "short-name-aliases.conf"}

// Events holds what happened since the boot; see pkg/events.
func (d Dirs) Events() string { return filepath.Join(d.Run, "events") }

// Monitor is the path of the monitor binary.
func (d Dirs) Monitor() string { return filepath.Join(d.Libexec, "wherry-monitor") }

// Image is the path of the image companion.
func (d Dirs) Image() string { return filepath.Join(d.Libexec, "wherry-image") }

// Build is the path of the companion that builds images.
func (d Dirs) Build() string { return filepath.Join(d.Libexec, "wherry-build") }

// Compose is the path of the companion that is Compose and the service of Docker's API.
func (d Dirs) Compose() string { return filepath.Join(d.Libexec, "wherry-compose") }

// Remote is the path of the companion that speaks to services elsewhere.
func (d Dirs) Remote() string { return filepath.Join(d.Libexec, "wherry-remote") }

// ImageMount is where `image mount` shows the files of an image.
func (d Dirs) ImageMount(id string) string { return filepath.Join(d.Run, "mnt", "image-"+id) }

// Steps holds one directory per step of a build that is under way; see pkg/steps.
func (d Dirs) Steps() string { return filepath.Join(d.Run, "steps") }

// Socket is where the service of Docker's API listens unless it is told otherwise.
func (d Dirs) Socket() string { return filepath.Join(d.Run, "wherry.sock") }
