package values

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
)

// Volume parses -v [SOURCE:]TARGET[:OPTIONS]. A source that begins with / or . is a host directory (relative ones
// are made absolute), anything else is a volume; without one the volume is anonymous.
func Volume(s string) (record.Mount, error) {
	parts := strings.Split(s, ":")
	m := record.Mount{}
	var options string
	switch {
	case len(parts) == 1:
		m.Target = parts[0]
	case len(parts) == 2 && parts[1] != "" && !strings.HasPrefix(parts[1], "/") && strings.HasPrefix(parts[0], "/") && isOptions(parts[1]):
		m.Target, options = parts[0], parts[1]
	case len(parts) <= 3:
		m.Source, m.Target = parts[0], parts[1]
		if m.Source == "" {
			return m, fmt.Errorf("the source is empty")
		}
		if len(parts) == 3 {
			options = parts[2]
		}
	default:
		return m, fmt.Errorf("it looks like [SOURCE:]TARGET[:OPTIONS]")
	}
	if err := setSource(&m); err != nil {
		return m, err
	}
	if err := volumeOptions(&m, options); err != nil {
		return m, err
	}
	return m, Target(&m)
}

func isOptions(s string) bool {
	for _, option := range strings.Split(s, ",") {
		if _, err := volumeOption(&record.Mount{}, option); err != nil {
			return false
		}
	}
	return true
}

func setSource(m *record.Mount) error {
	switch {
	case m.Source == "":
		m.Type, m.Anonymous = "volume", true
	case m.Source[0] == '/' || m.Source[0] == '.':
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		m.Type, m.Source, m.MakeSource = "bind", abs, true
	default:
		m.Type = "volume"
		return Name(m.Source)
	}
	return nil
}

// Target checks the target of a mount and makes it clean.
func Target(m *record.Mount) error {
	switch {
	case m.Target == "":
		return fmt.Errorf("there is no target")
	case !path.IsAbs(m.Target):
		return fmt.Errorf("the target %q is not an absolute path", m.Target)
	case strings.Contains(m.Target, "\x00"):
		return fmt.Errorf("the target holds a zero byte")
	}
	m.Target = path.Clean(m.Target)
	if m.Target == "/" {
		return fmt.Errorf("the target cannot be /")
	}
	return nil
}

// propagations are the kinds of mount propagation that a container's mount may have.
func propagations() []string {
	return []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}
}

// volumeOptions reads the third part of -v. Options that contradict each other are refused, as in Docker.
func volumeOptions(m *record.Mount, options string) error {
	seen := map[string]string{}
	for _, option := range strings.Split(options, ",") {
		kind, err := volumeOption(m, option)
		if err != nil {
			return err
		}
		if other, twice := seen[kind]; kind != "" && twice {
			return fmt.Errorf("options %q and %q do not go together", other, option)
		}
		seen[kind] = option
	}
	return checkOptions(m)
}

// volumeOption reads one option of -v; those of the same kind exclude each other.
func volumeOption(m *record.Mount, option string) (kind string, err error) {
	key, value, _ := strings.Cut(option, "=")
	switch {
	case option == "ro" || option == "rw":
		m.ReadOnly = option == "ro"
		return "access", nil
	case option == "nocopy" || option == "copy":
		m.NoCopy = option == "nocopy"
		return "copy", nil
	case option == "bind" || option == "rbind":
		m.NonRecurs = option == "bind"
		return "reach", nil
	case option == "z" || option == "Z":
		m.Relabel = option
		return "label", nil
	case option == "O":
		m.Overlay = true
		return option, nil
	case key == "upperdir" || key == "workdir":
		return key, overlayDir(m, key, value)
	case slices.Contains([]string{"cached", "delegated", "consistent"}, option):
		return "consistency", nil // Docker Desktop's file sharing; on Linux all are the same
	case slices.Contains(propagations(), option):
		m.Propagation = option
		return "propagation", nil
	case slices.Contains([]string{"U", "exec", "noexec", "suid", "nosuid", "dev", "nodev"}, option):
		m.Options = append(m.Options, option)
		return strings.TrimPrefix(option, "no"), nil
	case key == "idmap":
		return key, idMapOption(m, value)
	case option == "":
		return "", nil
	}
	return "", fmt.Errorf("there is no option %q", option)
}

func overlayDir(m *record.Mount, key, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil || dir == "" {
		return fmt.Errorf("%s needs a directory", key)
	}
	if key == "upperdir" {
		m.Upper = abs
	} else {
		m.Work = abs
	}
	return nil
}

// checkOptions refuses what has no meaning for a mount of this kind.
func checkOptions(m *record.Mount) error {
	switch {
	case (m.Upper != "" || m.Work != "") && !m.Overlay:
		return fmt.Errorf("upperdir and workdir go with the option O")
	case (m.Upper == "") != (m.Work == ""):
		return fmt.Errorf("upperdir and workdir go together")
	case m.Overlay && m.Anonymous:
		return fmt.Errorf("option O needs a source, a directory of the host or a volume")
	case m.Overlay && slices.Contains(m.Options, "U"):
		return fmt.Errorf("options O and U do not go together: O leaves the source as it is")
	case m.NoCopy && m.Type != "volume":
		return fmt.Errorf("option nocopy is for volumes: a directory of the host gets no copy")
	case strings.HasSuffix(m.Propagation, "shared") && m.Overlay:
		return fmt.Errorf("options O and %s do not go together", m.Propagation)
	}
	return nil
}

// VolumesFrom checks --volumes-from CONTAINER[:OPTIONS].
func VolumesFrom(s string) error {
	name, options, _ := strings.Cut(s, ":")
	if name == "" {
		return fmt.Errorf("it looks like CONTAINER[:ro|rw]")
	}
	for _, option := range strings.Split(options, ",") {
		if !slices.Contains([]string{"", "ro", "rw", "z", "Z"}, option) {
			return fmt.Errorf("there is no option %q (ro, rw and z are)", option)
		}
	}
	return nil
}
