package spec

import (
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/hostfacts"
	"github.com/wherry-containers/wherry/pkg/idmap"
)

// initTarget is where the init binary appears: on the tmpfs at /dev, so that nothing is left in the root file system.
const initTarget = "/dev/init"

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func setProcess(in Input, s *specs.Spec) error {
	cfg := in.Config.Process
	args := cfg.Args()
	if len(args) == 0 {
		return errdefs.New(errdefs.ErrInvalid, "no command: the image has none, so give one after the image's name")
	}
	if cfg.Init {
		if in.InitPath == "" {
			return errdefs.New(errdefs.ErrNotFound, "no init binary on this host for --init (install tini or catatonit)")
		}
		args = append([]string{initTarget, "--"}, args...)
	}
	cwd := cfg.WorkDir
	if cwd == "" {
		cwd = "/"
	}
	if !path.IsAbs(cwd) {
		return errdefs.New(errdefs.ErrInvalid, "working directory %q is not an absolute path", cwd)
	}
	umask, err := parseUmask(cfg.Umask)
	if err != nil {
		return err
	}
	bounding, err := Capabilities(in)
	if err != nil {
		return err
	}
	user := processUser(in)
	if err := checkMapped(in, user); err != nil {
		return err
	}
	s.Process = &specs.Process{
		Terminal:        cfg.Terminal,
		User:            specs.User{UID: user.UID, GID: user.GID, AdditionalGids: user.Groups, Umask: umask},
		Args:            args,
		Env:             environment(in, user.Home),
		Cwd:             path.Clean(cwd),
		Capabilities:    capabilities(user.UID, bounding),
		NoNewPrivileges: in.Config.Security.NoNewPrivileges,
	}
	if cfg.Terminal && cfg.Rows > 0 && cfg.Columns > 0 {
		s.Process.ConsoleSize = &specs.Box{Height: uint(cfg.Rows), Width: uint(cfg.Columns)}
	}
	if s.Process.Rlimits, err = rlimits(in); err != nil {
		return err
	}
	s.Process.OOMScoreAdj, err = oomScoreAdj(in)
	return err
}

// processUser is the resolved user; under keep-id without --user the caller himself.
func processUser(in Input) User {
	u := in.User
	if k, ok := parseKeepID(in.Config.Security.UserNS, in.Host); ok && in.Config.Process.User == "" {
		u.UID, u.GID = k.uid, k.gid
	}
	return u
}

// checkMapped refuses ids that the user namespace does not have, which the runtime would call an invalid argument.
func checkMapped(in Input, user User) error {
	uids, gids := ownMappings(in)
	if !idmap.Holds(uids, user.UID) {
		return errdefs.New(errdefs.ErrInvalid, "user id %d is not in this user namespace (use a smaller one, or add a larger range to /etc/subuid)", user.UID)
	}
	for _, gid := range append([]uint32{user.GID}, user.Groups...) {
		if !idmap.Holds(gids, gid) {
			return errdefs.New(errdefs.ErrInvalid, "group id %d is not in this user namespace (use a smaller one, or add a larger range to /etc/subgid)", gid)
		}
	}
	return nil
}

// capabilities gives a user other than root only the bounding set, which is what execve would leave him.
func capabilities(uid uint32, bounding []string) *specs.LinuxCapabilities {
	c := &specs.LinuxCapabilities{Bounding: bounding}
	if uid == 0 {
		c.Effective, c.Permitted = bounding, bounding
	}
	return c
}

// environment is Docker's: its own variables first, each replaced by one of the same name in env.
func environment(in Input, home string) []string {
	cfg := in.Config.Process
	own := []string{defaultPath, "HOSTNAME=" + hostname(in)}
	if cfg.Systemd {
		own = append(own, "container=oci", "container_uuid="+uuid(in.Config.ID))
	}
	if in.Files.Notify != "" {
		own = append(own, "NOTIFY_SOCKET="+notifyTarget+"/notify.sock")
	}
	if cfg.Terminal {
		own = append(own, "TERM=xterm")
	}
	if home == "" {
		home = "/"
	}
	return MergeEnv(append(own, "HOME="+home), cfg.Env)
}

// uuid writes the start of an id the way systemd reads one.
func uuid(id string) string {
	if len(id) < 32 {
		return id
	}
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:32]}, "-")
}

// MergeEnv replaces variables in base by those of the same name in over, and appends the others. A bare NAME in
// over removes it.
func MergeEnv(base, over []string) []string {
	out := make([]string, 0, len(base)+len(over))
	at := make(map[string]int, len(base)+len(over))
	for _, list := range [][]string{base, over} {
		for _, kv := range list {
			name, _, set := strings.Cut(kv, "=")
			i, known := at[name]
			switch {
			case !set && known:
				out[i] = ""
			case !set:
			case known:
				out[i] = kv
			default:
				at[name] = len(out)
				out = append(out, kv)
			}
		}
	}
	kept := out[:0]
	for _, kv := range out {
		if kv != "" {
			kept = append(kept, kv)
		}
	}
	return kept
}

func parseUmask(text string) (*uint32, error) {
	n := uint64(0o022)
	if text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 8, 32); err != nil || n > 0o777 {
			return nil, errdefs.New(errdefs.ErrInvalid, "umask %q is not an octal number up to 0777", text)
		}
	}
	u := uint32(n)
	return &u, nil
}

func rlimits(in Input) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for _, u := range in.Config.Resources.Ulimits {
		if _, ok := hostfacts.RlimitNames[u.Name]; !ok {
			return nil, errdefs.New(errdefs.ErrInvalid, "ulimit %q: no such limit (see getrlimit(2))", u.Name)
		}
		r := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: limit(u.Soft), Hard: limit(u.Hard)}
		if r.Soft > r.Hard {
			return nil, errdefs.New(errdefs.ErrInvalid, "ulimit %s: the soft limit %d is above the hard limit %d",
				u.Name, u.Soft, u.Hard)
		}
		own, known := in.Host.Rlimits[u.Name]
		if known && r.Hard > own.Hard && !mayRaise(in.Host) {
			return nil, errdefs.New(errdefs.ErrUnsupported,
				"ulimit %s: %s is above the hard limit %d of this session (raise it in /etc/security/limits.conf, or ask for less)",
				u.Name, limitText(u.Hard), own.Hard)
		}
		out = append(out, r)
	}
	return out, nil
}

func limit(n int64) uint64 { return uint64(n) } // -1 is the kernel's RLIM_INFINITY

func limitText(n int64) string {
	if n < 0 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

// mayRaise: the kernel asks for CAP_SYS_RESOURCE in the first user namespace.
func mayRaise(h Host) bool { return !h.Rootless && h.Caps.Has("CAP_SYS_RESOURCE") }

func oomScoreAdj(in Input) (*int, error) {
	want := in.Config.Resources.OOMScoreAdj
	if want == nil {
		return nil, nil
	}
	if *want < -1000 || *want > 1000 {
		return nil, errdefs.New(errdefs.ErrInvalid, "oom-score-adj %d is not between -1000 and 1000", *want)
	}
	if *want < in.Host.OOMScoreAdj && !mayRaise(in.Host) {
		return nil, errdefs.New(errdefs.ErrUnsupported,
			"oom-score-adj %d needs root: without it nothing below %d can be set", *want, in.Host.OOMScoreAdj)
	}
	return want, nil
}
