package libpod

import (
	"os"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/wherry-containers/wherry/pkg/cgroup"
	"github.com/wherry-containers/wherry/pkg/realuser"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// host is what the engine knows of the machine and the caller.
type host struct {
	rootless bool
	uid, gid int // of the user outside
	uids     []specs.LinuxIDMapping
	gids     []specs.LinuxIDMapping
	cgroup   func() cgroup.Facts
}

// hostOnce finds out once, on first use.
func hostOnce() func() *host { return sync.OnceValue(findHost) }

func findHost() *host {
	h := &host{rootless: realuser.Inside(), uid: realuser.UID(), gid: realuser.GID()}
	if h.rootless {
		h.uids, h.gids = rootless.Mappings()
	}
	h.cgroup = sync.OnceValue(func() cgroup.Facts { return cgroup.Detect(os.Getenv, h.rootless, h.uid) })
	return h
}
