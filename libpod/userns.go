package libpod

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/idmap"
	"github.com/wherry-containers/wherry/pkg/passwd"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// IDWish is how the flags put the mapping of a container's own user namespace.
type IDWish struct {
	UIDMap, GIDMap         []string // [+ug]CONTAINER:[@]HOST[:SIZE]
	SubUIDName, SubGIDName string   // names in /etc/subuid and /etc/subgid
}

func (w IDWish) empty() bool {
	return len(w.UIDMap) == 0 && len(w.GIDMap) == 0 && w.SubUIDName == "" && w.SubGIDName == ""
}

// settleNamespaces resolves names of containers into ids, and what can be known of the user namespace before the
// record is written.
func (e *Engine) settleNamespaces(cfg *record.Config, opts CreateOptions, lower []string) error {
	n := &cfg.Namespaces
	for _, k := range []struct {
		kind string
		mode *string
	}{{"userns", &cfg.Security.UserNS}, {"pid", &n.PID}, {"ipc", &n.IPC}, {"uts", &n.UTS}} {
		ref, ok := strings.CutPrefix(*k.mode, "container:")
		if !ok {
			continue
		}
		id, err := e.resolve(ref)
		if err != nil {
			return fmt.Errorf("--%s container:%s: %w", k.kind, ref, err)
		}
		*k.mode = "container:" + id
	}
	if cfg.Process.TZ != "" {
		if _, err := readZone(cfg.Process.TZ); err != nil {
			return err
		}
	}
	if err := spec.CheckSysctls(n.Sysctls, n.IPC, n.UTS, cfg.Network.Mode); err != nil {
		return err
	}
	if err := e.settleMapping(cfg, opts.IDs); err != nil {
		return err
	}
	return e.settleAuto(cfg, lower)
}

// settleMapping resolves --uidmap, --gidmap, --subuidname and --subgidname.
func (e *Engine) settleMapping(cfg *record.Config, w IDWish) (err error) {
	if w.empty() {
		return nil
	}
	if mode := cfg.Security.UserNS; mode != "" && mode != "private" {
		return errdefs.New(errdefs.ErrInvalid, "--userns %s does not go with --uidmap, --gidmap, --subuidname and --subgidname (leave it out)", mode)
	}
	named := w.SubUIDName != "" || w.SubGIDName != ""
	if named && (len(w.UIDMap) > 0 || len(w.GIDMap) > 0) {
		return errdefs.New(errdefs.ErrInvalid, "--subuidname and --subgidname do not go with --uidmap and --gidmap (use the ones or the others)")
	}
	cfg.Security.UserNS = "private"
	n, h := &cfg.Namespaces, e.host()
	if named {
		if n.UIDMap, err = namedMapping(firstOf(w.SubUIDName, w.SubGIDName), false, h.uids); err == nil {
			n.GIDMap, err = namedMapping(firstOf(w.SubGIDName, w.SubUIDName), true, h.gids)
		}
		return err
	}
	uids, err := idmap.ParseAll(w.UIDMap)
	if err != nil {
		return fmt.Errorf("--uidmap %w", err)
	}
	gids, err := idmap.ParseAll(w.GIDMap)
	if err != nil {
		return fmt.Errorf("--gidmap %w", err)
	}
	uids, gids = idmap.Both(uids, gids)
	if n.UIDMap, err = idmap.Resolve(uids, h.uids); err != nil {
		return fmt.Errorf("--uidmap: %w", err)
	}
	if n.GIDMap, err = idmap.Resolve(gids, h.gids); err != nil {
		return fmt.Errorf("--gidmap: %w", err)
	}
	return nil
}

// namedMapping maps the subordinate ids of a name, in the order of the file, to 0 and up.
func namedMapping(name string, gids bool, own []specs.LinuxIDMapping) ([]specs.LinuxIDMapping, error) {
	file, flag := "/etc/subuid", "--subuidname"
	if gids {
		file, flag = "/etc/subgid", "--subgidname"
	}
	var m []idmap.Entry
	var next uint32
	for _, r := range rootless.RangesOf(name, gids) {
		m = append(m, idmap.Entry{Inside: next, Outside: uint32(r.Start), Size: uint32(r.Length), Host: true})
		next += uint32(r.Length)
	}
	if len(m) == 0 {
		return nil, errdefs.New(errdefs.ErrNotFound, "%s %s: %s has no line for that name", flag, name, file)
	}
	resolved, err := idmap.Resolve(m, own)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, name, err)
	}
	return resolved, nil
}

// Podman's bounds for the size of an automatic user namespace that has none given.
const (
	minAuto = 1024
	maxAuto = 65536
)

// settleAuto fills in the size of --userns auto: what the image's users and the container's own need.
func (e *Engine) settleAuto(cfg *record.Config, lower []string) error {
	options, ok := autoOptions(cfg)
	if !ok {
		return nil
	}
	auto, err := idmap.ParseAuto(options)
	if err != nil || auto.Size > 0 {
		return err
	}
	highest := uint32(minAuto - 1)
	for _, layer := range lower {
		highest = max(highest, passwd.Highest(layer))
	}
	user, group, _ := strings.Cut(cfg.Process.User, ":")
	for _, text := range append([]string{user, group}, cfg.Process.Groups...) {
		if n, err := strconv.ParseUint(text, 10, 31); err == nil {
			highest = max(highest, uint32(n))
		}
	}
	for _, fixed := range append(auto.UIDs, auto.GIDs...) {
		highest = max(highest, min(fixed.Inside, maxAuto-2))
	}
	cfg.Security.UserNS = "auto:" + strings.TrimPrefix(options+",", ",") + "size=" + strconv.Itoa(int(min(highest+1, maxAuto)))
	return nil
}

func autoOptions(cfg *record.Config) (options string, ok bool) {
	mode, options, _ := strings.Cut(cfg.Security.UserNS, ":")
	return options, mode == "auto"
}

// claimIDs gives a container with --userns auto ids that no other one has. The claim is a link START-SIZE in the
// directory userns, whose lock makes looking and claiming one step; its target is the container's id, and it counts for
// as long as the container's directory is there: removal has nothing to give back. The caller has made that directory.
func (e *Engine) claimIDs(cfg *record.Config) error {
	options, ok := autoOptions(cfg)
	if !ok {
		return nil
	}
	auto, err := idmap.ParseAuto(options)
	if err != nil {
		return err
	}
	have, err := e.autoIDs()
	if err != nil {
		return err
	}
	dir := filepath.Join(e.dirs.Data, "userns")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return withDirLock(dir, func(f *os.File) error {
		taken, err := e.claimedIDs(f)
		if err != nil {
			return err
		}
		h := e.host()
		reserved := append(idmap.Reserved(auto.UIDs, h.uids), idmap.Reserved(auto.GIDs, h.gids)...)
		start, ok := idmap.Free(have, append(taken, reserved...), auto.Size)
		if !ok {
			return errdefs.New(errdefs.ErrUnsupported, "--userns auto: no %d ids in a row are free (%d containers have some: remove one, give a smaller size=, or add a larger range to /etc/subuid and /etc/subgid)", auto.Size, len(taken))
		}
		n := &cfg.Namespaces
		if n.UIDMap, err = auto.Map(start, auto.Size, h.uids, auto.UIDs); err != nil {
			return fmt.Errorf("--userns auto: %w", err)
		}
		if n.GIDMap, err = auto.Map(start, auto.Size, h.gids, auto.GIDs); err != nil {
			return fmt.Errorf("--userns auto: %w", err)
		}
		if err := os.Symlink(cfg.ID, filepath.Join(dir, fmt.Sprintf("%d-%d", start, auto.Size))); err != nil {
			return fmt.Errorf("claim ids: %w", err)
		}
		faultpoint.Hit("userns.claimed")
		return nil
	})
}

// autoIDs are the ids to choose from: without root all subordinate ones, as root those of the name "containers".
func (e *Engine) autoIDs() ([]idmap.Range, error) {
	h := e.host()
	if h.rootless {
		have := idmap.Minus(idmap.Common(idmap.Available(h.uids), idmap.Available(h.gids)), 0)
		if len(have) == 0 {
			return nil, errdefs.New(errdefs.ErrUnsupported, "--userns auto needs subordinate ids (add a line for the user to /etc/subuid and /etc/subgid)")
		}
		return have, nil
	}
	const name = "containers"
	var both [2][]idmap.Range
	for i := range both {
		for _, r := range rootless.RangesOf(name, i == 1) {
			both[i] = append(both[i], idmap.Range{Start: uint32(r.Start), Size: uint32(r.Length)})
		}
	}
	have := idmap.Common(both[0], both[1])
	if len(have) == 0 {
		return nil, errdefs.New(errdefs.ErrUnsupported, "--userns auto as root takes its ids from the name %q (echo %s:2147483647:2147483648 | tee -a /etc/subuid /etc/subgid)", name, name)
	}
	return have, nil
}

// claimedIDs lists the ranges that containers have, and drops the claims of those that are gone.
func (e *Engine) claimedIDs(dir *os.File) ([]idmap.Range, error) {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var taken []idmap.Range
	for _, name := range names {
		path := filepath.Join(dir.Name(), name)
		first, size, _ := strings.Cut(name, "-")
		start, err1 := strconv.ParseUint(first, 10, 32)
		n, err2 := strconv.ParseUint(size, 10, 32)
		id, err3 := os.Readlink(path)
		if err1 != nil || err2 != nil || err3 != nil || strings.ContainsAny(id, "/.") {
			continue // none of ours
		}
		if _, err := os.Lstat(e.dirs.Container(id)); err != nil {
			os.Remove(path)
			continue
		}
		taken = append(taken, idmap.Range{Start: uint32(start), Size: uint32(n)})
	}
	return taken, nil
}

// withDirLock runs fn with the directory open and locked.
func withDirLock(dir string, fn func(*os.File) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() // unlocks
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			return fn(f)
		}
		if err != unix.EINTR {
			return fmt.Errorf("lock %s: %w", dir, err)
		}
	}
}
