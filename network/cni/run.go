package cni

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Runner runs configuration lists in the network namespace of the calling thread.
type Runner struct {
	lib   *libcni.CNIConfig
	cache string
}

// NewRunner returns a runner whose results are cached below dir and whose leases are proved by owner.
func NewRunner(dir state.Dir, owner state.Process, plugins []string) *Runner {
	cache := filepath.Join(string(dir), "cni")
	own := &dispatcher{own: &bridge.Plugin{Dir: dir, Owner: owner}}
	return &Runner{lib: libcni.NewCNIConfigWithCacheDir(plugins, cache, own), cache: cache}
}

// Call is one container's end of a network.
type Call struct {
	ID        string   // container
	NetNS     string   // path of its network namespace
	Interface string   // in it
	IPs       []string // asked for
	MAC       string   // asked for
	Name      string   // container's name, for foreign plugins
}

func (c Call) runtimeConf() *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: c.ID, NetNS: c.NetNS, IfName: c.Interface, CapabilityArgs: map[string]any{}}
	if len(c.IPs) > 0 {
		rt.CapabilityArgs["ips"] = c.IPs
	}
	if c.MAC != "" {
		rt.CapabilityArgs["mac"] = c.MAC
	}
	if c.Name != "" {
		rt.Args = [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", c.Name}}
	}
	return rt
}

// CacheFile is where libcni keeps the result of a call.
func (r *Runner) CacheFile(network string, c Call) string {
	return filepath.Join(r.cache, "results", network+"-"+c.ID+"-"+c.Interface)
}

// Add connects.
func (r *Runner) Add(ctx context.Context, n *Network, c Call) (*types100.Result, error) {
	res, err := r.lib.AddNetworkList(ctx, n.list, c.runtimeConf())
	if err != nil {
		return nil, plain(err)
	}
	return types100.NewResultFromResult(res)
}

// Del disconnects; what was not connected is as good as disconnected.
func (r *Runner) Del(ctx context.Context, n *Network, c Call) error {
	return plain(r.lib.DelNetworkList(ctx, n.list, c.runtimeConf()))
}

// plain takes the words of libcni off our own plugin's errors, which are whole sentences.
func plain(err error) error {
	var known *errdefs.Kinded
	if errors.As(err, &known) {
		return known
	}
	return err
}
