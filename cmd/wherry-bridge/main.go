// Command wherry-bridge is wherry's network plugin as an executable, for other programs that speak CNI. wherry itself
// calls it as a library.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/network/state"
)

// version and commit are set by the linker.
var version, commit = "", ""

const defaultStateDir = "/run/wherry/net"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("wherry-bridge", version, commit)
		return
	}
	ctx := context.Background()
	with := func(call func(*bridge.Plugin, *skel.CmdArgs) error) func(*skel.CmdArgs) error {
		return func(args *skel.CmdArgs) error { return call(&bridge.Plugin{Dir: stateDir(args.StdinData)}, args) }
	}
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: with(func(p *bridge.Plugin, args *skel.CmdArgs) error {
			result, conf, err := p.Add(ctx, args)
			if err != nil {
				return err
			}
			return types.PrintResult(result, conf.CNIVersion)
		}),
		Del:    with(func(p *bridge.Plugin, args *skel.CmdArgs) error { return p.Del(ctx, args) }),
		Check:  with(func(p *bridge.Plugin, args *skel.CmdArgs) error { return p.Check(ctx, args) }),
		GC:     with(func(p *bridge.Plugin, args *skel.CmdArgs) error { return p.GC(ctx, args) }),
		Status: with(func(p *bridge.Plugin, args *skel.CmdArgs) error { return p.Status(ctx, args) }),
	}, bridge.Versions(), "CNI plugin wherry-bridge "+version)
}

// stateDir is where the configuration wants leases and notes.
func stateDir(conf []byte) state.Dir {
	var c struct {
		StateDir string `json:"stateDir"`
	}
	if json.Unmarshal(conf, &c) != nil || c.StateDir == "" {
		return defaultStateDir
	}
	return state.Dir(c.StateDir)
}
