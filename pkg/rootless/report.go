package rootless

import (
	"bytes"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless/join"
)

// Mappings are the id mappings of the current user namespace, one full identity line as real root.
func Mappings() (uids, gids []specs.LinuxIDMapping) {
	return readMap("/proc/self/uid_map"), readMap("/proc/self/gid_map")
}

// MappingsOf are those of the process with the directory proc (/proc/PID), seen from our namespace; nil if it is gone.
func MappingsOf(proc string) (uids, gids []specs.LinuxIDMapping) {
	return readMap(proc + "/uid_map"), readMap(proc + "/gid_map")
}

// ParseMappings reads the format of /proc/PID/uid_map and passes over what is not in it.
func ParseMappings(data []byte) []specs.LinuxIDMapping { return parseMap(data) }

func readMap(path string) []specs.LinuxIDMapping {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return parseMap(data)
}

func parseMap(data []byte) []specs.LinuxIDMapping {
	var mappings []specs.LinuxIDMapping
	for _, line := range bytes.Split(data, []byte("\n")) {
		fields := bytes.Fields(line)
		if len(fields) != 3 {
			continue
		}
		var n [3]uint32
		ok := true
		for i, field := range fields {
			v, err := strconv.ParseUint(string(field), 10, 32)
			n[i], ok = uint32(v), ok && err == nil
		}
		if ok {
			mappings = append(mappings, specs.LinuxIDMapping{ContainerID: n[0], HostID: n[1], Size: n[2]})
		}
	}
	return mappings
}

// Status is what info and system check show of the user namespace.
type Status struct {
	Rootless   bool                   // false as real root: nothing else but UID and the maps matters then
	Inside     bool                   // this process is in the namespace
	SingleID   bool                   // only the user's own id is mapped
	User       string                 // login name outside
	UID, GID   int                    // outside
	UIDMap     []specs.LinuxIDMapping // of this process
	GIDMap     []specs.LinuxIDMapping
	PauseFile  string
	PausePID   int // 0: none alive
	SubUIDs    []Range
	SubGIDs    []Range
	NewUIDMap  string // path, empty if not installed
	NewGIDMap  string
	AppArmor   bool     // kernel.apparmor_restrict_unprivileged_userns is 1
	EntryStub  bool     // this binary joins before its runtime starts
	Problems   []string // each one line with its fix; empty when rootless containers can run
	MaxUserNSs int      // user.max_user_namespaces, -1 if unknown
}

// Report looks at the machine and the current process; it starts nothing.
func Report() Status {
	p := collect()
	uids, gids := Mappings()
	s := Status{
		Inside: Inside(), User: p.User, UID: RealUID(), GID: RealGID(), UIDMap: uids, GIDMap: gids,
		SubUIDs: p.SubUIDs, SubGIDs: p.SubGIDs, NewUIDMap: p.NewUIDMap.Path, NewGIDMap: p.NewGIDMap.Path,
		AppArmor: p.AppArmor == 1, EntryStub: realuser.Early.Ran != 0, MaxUserNSs: p.MaxUserNS,
	}
	s.Rootless = os.Geteuid() != 0 || s.Inside
	if !s.Rootless {
		return s
	}
	s.SingleID = s.Inside && len(uids) == 1 && uids[0].Size == 1
	file, err := pauseFile(os.Getenv(join.EnvSingle) == "1")
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	s.PauseFile, s.PausePID = file, PausePID()
	s.Problems = append(s.Problems, p.problems(s.SingleID)...)
	return s
}

// PausePID is the pause process of the user's namespace; 0: none alive.
func PausePID() int {
	file, err := pauseFile(os.Getenv(join.EnvSingle) == "1")
	if err != nil {
		return 0
	}
	if pause, err := readPause(file); err == nil && pause.alive() {
		return pause.PID
	}
	return 0
}

// problems are the known obstacles, also those that have not been met because the namespace exists already.
func (p probe) problems(single bool) []string {
	var all []string
	if err := p.missing(); err != nil && !single {
		all = append(all, err.Error())
	}
	if !p.UserNamespaces || p.UnprivUserNS == 0 || p.MaxUserNS == 0 || p.MaxMountNS == 0 {
		all = append(all, diagnoseClone(p, nil).Error())
	}
	if !single && (p.NewUIDMap.broken() || p.NewGIDMap.broken()) {
		all = append(all, diagnoseMapping(p, nil).Error())
	}
	return all
}

func (t tool) broken() bool { return t.Path != "" && (!t.Privileged || t.NoSuid) }
