// Package cni keeps networks as CNI configuration lists on disk and runs them with libcni. Our own plugin is called in
// this process; foreign ones are executed.
package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/wherry-containers/wherry/network/bridge"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// PluginDirs are where foreign plugins are looked for, the first find wins. CNI_PATH comes first.
func PluginDirs(getenv func(string) string) []string {
	dirs := filepath.SplitList(getenv("CNI_PATH"))
	return append(dirs, "/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/lib/cni", "/opt/cni/bin")
}

// dispatcher is libcni's way to call plugins (invoke.Exec).
type dispatcher struct {
	version.PluginDecoder
	own *bridge.Plugin
}

// ownPath is the place of our plugin, which is no file.
const ownPath = "in-process:" + bridge.Type

// FindInPath finds a plugin.
func (d *dispatcher) FindInPath(plugin string, paths []string) (string, error) {
	if plugin == bridge.Type {
		return ownPath, nil
	}
	if plugin == "" || plugin != filepath.Base(plugin) {
		return "", errdefs.New(errdefs.ErrInvalid, "%q is no name of a CNI plugin", plugin)
	}
	for _, dir := range paths {
		path := filepath.Join(dir, plugin)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", errdefs.New(errdefs.ErrNotFound, "CNI plugin %q is in none of %s (sudo apt install containernetworking-plugins, or set CNI_PATH)",
		plugin, strings.Join(paths, ", "))
}

// ExecPlugin calls one command of a plugin.
func (d *dispatcher) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	if path == ownPath {
		return d.call(ctx, stdin, environ)
	}
	return execute(ctx, path, stdin, environ)
}

// call is the same in this process.
func (d *dispatcher) call(ctx context.Context, stdin []byte, environ []string) ([]byte, error) {
	var command string
	args := &skel.CmdArgs{StdinData: stdin}
	for _, kv := range environ {
		switch name, value, _ := strings.Cut(kv, "="); name {
		case "CNI_COMMAND":
			command = value
		case "CNI_CONTAINERID":
			args.ContainerID = value
		case "CNI_NETNS":
			args.Netns = value
		case "CNI_IFNAME":
			args.IfName = value
		}
	}
	switch command {
	case "ADD":
		result, c, err := d.own.Add(ctx, args)
		if err != nil {
			return nil, err
		}
		result, err = result.GetAsVersion(c.CNIVersion)
		if err != nil {
			return nil, err
		}
		return json.Marshal(result)
	case "DEL":
		return nil, d.own.Del(ctx, args)
	case "CHECK":
		return nil, d.own.Check(ctx, args)
	case "GC":
		return nil, d.own.GC(ctx, args)
	case "STATUS":
		return nil, d.own.Status(ctx, args)
	case "VERSION":
		var out bytes.Buffer
		err := bridge.Versions().Encode(&out)
		return out.Bytes(), err
	}
	return nil, fmt.Errorf("plugin %s has no command %q", bridge.Type, command)
}

// execute runs a foreign plugin in the network namespace of the calling thread.
func execute(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = withPath(environ), bytes.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	said := &types.Error{}
	if json.Unmarshal(out.Bytes(), said) == nil && said.Msg != "" {
		text := said.Msg
		if said.Details != "" {
			text += ": " + said.Details
		}
		return nil, &types.Error{Code: said.Code, Msg: fmt.Sprintf("CNI plugin %s: %s", filepath.Base(path), oneLine(text))}
	}
	return nil, fmt.Errorf("CNI plugin %s: %w: %s", path, err, oneLine(errs.String()))
}

// withPath lets plugins find iptables, which is in no ordinary user's path.
func withPath(environ []string) []string {
	for i, kv := range environ {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			environ[i] = "PATH=" + path + ":/usr/local/sbin:/usr/sbin:/sbin"
		}
	}
	return environ
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
