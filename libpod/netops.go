package libpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/events"
)

// NetworkCreate makes a network.
func (e *Engine) NetworkCreate(ctx context.Context, opts network.CreateOptions) (*network.Network, error) {
	if opts.Ignore {
		if known, err := e.networks().Exists(opts.Name); known && err == nil {
			return e.networks().Inspect(opts.Name)
		}
	}
	n, err := e.networks().Create(ctx, opts)
	if err == nil {
		e.noteNetwork(n, "create")
	}
	return n, err
}

// NetworkInspect returns one network with the containers that are on it now.
func (e *Engine) NetworkInspect(_ context.Context, name string) (*network.Network, error) {
	return e.networks().Inspect(name)
}

// NetworkExists tells whether there is a network of this name or id.
func (e *Engine) NetworkExists(_ context.Context, name string) (bool, error) {
	return e.networks().Exists(name)
}

// NetworkList returns the networks that all filters let pass; one that cannot be read is warned of.
func (e *Engine) NetworkList(_ context.Context, filters map[string][]string) ([]*network.Network, error) {
	match, err := e.networkFilter(filters)
	if err != nil {
		return nil, err
	}
	all, err := e.networks().List(func(err error) { e.opts.Warn(err.Error()) })
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(n *network.Network) bool { return !match(n) }), nil
}

// NetworkMatch is the test that NetworkList makes of filters.
func (e *Engine) NetworkMatch(filters map[string][]string) (func(*network.Network) bool, error) {
	return e.networkFilter(filters)
}

// networkFilter compiles filters; several values of one key are alternatives, but for labels.
func (e *Engine) networkFilter(filters map[string][]string) (func(*network.Network) bool, error) {
	var tests []func(*network.Network) bool
	for key, values := range filters {
		var any []func(*network.Network) bool
		for _, value := range values {
			test, err := e.networkTest(key, value)
			if err != nil {
				return nil, err
			}
			if key == "label" || key == "label!" {
				tests = append(tests, test)
			} else {
				any = append(any, test)
			}
		}
		if len(any) > 0 {
			tests = append(tests, func(n *network.Network) bool {
				return slices.ContainsFunc(any, func(t func(*network.Network) bool) bool { return t(n) })
			})
		}
	}
	return func(n *network.Network) bool {
		return !slices.ContainsFunc(tests, func(t func(*network.Network) bool) bool { return !t(n) })
	}, nil
}

func (e *Engine) networkTest(key, value string) (func(*network.Network) bool, error) {
	switch key {
	case "name":
		return func(n *network.Network) bool { return strings.Contains(n.Name, value) }, nil
	case "id":
		return func(n *network.Network) bool { return strings.HasPrefix(n.ID, value) }, nil
	case "driver":
		return func(n *network.Network) bool { return n.Driver == value }, nil
	case "label":
		return func(n *network.Network) bool { return matchLabel(n.Labels, value) }, nil
	case "label!":
		return func(n *network.Network) bool { return !matchLabel(n.Labels, value) }, nil
	case "type":
		if value != "custom" && value != "builtin" {
			return nil, errdefs.New(errdefs.ErrInvalid, "invalid filter type=%s (custom or builtin)", value)
		}
		return func(n *network.Network) bool { return network.BuiltIn(n.Name) == (value == "builtin") }, nil
	case "scope":
		return func(*network.Network) bool { return value == "local" }, nil
	case "dangling":
		want, err := parseBool(key, value)
		if err != nil {
			return nil, err
		}
		users, err := e.networkUsers()
		return func(n *network.Network) bool { return (len(users[n.Name]) == 0 && !network.BuiltIn(n.Name)) == want }, err
	case "until":
		when, err := parseWhen(key, value)
		return func(n *network.Network) bool { return n.Created.Before(when) }, err
	}
	return nil, errdefs.New(errdefs.ErrInvalid, "there is no filter %q (name, id, driver, label, label!, type, scope, dangling, until)", key)
}

// networkUsers maps each network to the containers whose records name it.
func (e *Engine) networkUsers() (map[string][]*container, error) {
	ids, err := e.containers.IDs()
	users := map[string][]*container{}
	for _, id := range ids {
		c, err := e.load(id)
		if err != nil || c.Network.Mode != onNetworks {
			continue
		}
		for _, end := range c.ends() {
			users[end.Network] = append(users[end.Network], c)
		}
	}
	return users, err
}

// ends are the networks of the container: those it was made with, or what connect and disconnect have made of them.
func (c *container) ends() []record.NetworkEnd {
	if c.state.Networks != nil {
		return *c.state.Networks
	}
	return c.Network.Ends
}

// NetworkRemoveOptions is what `network rm` needs.
type NetworkRemoveOptions struct {
	Force   bool // remove the containers that use it too; an unknown network is no error
	Timeout *int // seconds until a container that runs is killed
}

// NetworkRemove removes a network that no container uses.
func (e *Engine) NetworkRemove(ctx context.Context, ref string, opts NetworkRemoveOptions) error {
	n, err := e.networks().Inspect(ref)
	if errors.Is(err, errdefs.ErrNotFound) && opts.Force {
		return nil
	} else if errors.Is(err, errdefs.ErrBroken) {
		return e.networks().Forget(ref)
	} else if err != nil {
		return err
	}
	users, err := e.networkUsers()
	if err != nil {
		return err
	}
	var names []string
	for _, c := range users[n.Name] {
		if !opts.Force {
			names = append(names, c.name())
			continue
		}
		err := e.Remove(ctx, c.ID, RemoveOptions{Force: true, Timeout: opts.Timeout})
		if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
			return err
		}
	}
	if len(names) > 0 {
		return errdefs.New(errdefs.ErrInUse, "network %q is in use by %s (wherry rm, or wherry network rm -f)", n.Name, strings.Join(names, ", "))
	}
	err = e.networks().Remove(ctx, n.Name)
	if err == nil {
		e.noteNetwork(n, "destroy")
	}
	return err
}

// NetworkPrune removes the networks that no container uses, and returns their names.
func (e *Engine) NetworkPrune(ctx context.Context, filters map[string][]string) ([]string, error) {
	match, err := e.networkFilter(filters)
	if err != nil {
		return nil, err
	}
	users, err := e.networkUsers()
	if err != nil {
		return nil, err
	}
	removed, err := e.networks().Prune(ctx, func(name string) bool { return len(users[name]) > 0 }, match)
	if err == nil {
		e.notePrune(events.Network, 0)
	}
	return removed, err
}

// NetworkConnect puts a container on one more network: at once when it runs, and at each later start.
func (e *Engine) NetworkConnect(ctx context.Context, ref string, w network.Wish) error {
	n, err := e.networks().Inspect(w.Network)
	if err != nil {
		return err
	}
	name := n.Name
	w.Network = name
	return e.withContainer(ctx, ref, func(c *container) error {
		if c.Network.Mode != onNetworks {
			return errdefs.New(errdefs.ErrInvalid, "container %q has the network %s, to which none can be added", c.name(), c.Network.Mode)
		}
		if slices.ContainsFunc(c.ends(), func(end record.NetworkEnd) bool { return end.Network == name }) {
			return errdefs.New(errdefs.ErrState, "container %q is on network %q already", c.name(), name)
		}
		if c.alive() {
			err := withNetns(c, func(path string) error { return e.networks().Connect(ctx, c.ID, path, w) })
			if err != nil {
				return err
			}
			if err := e.refreshNames(c); err != nil {
				return err
			}
		}
		ends := append(slices.Clone(c.ends()), record.NetworkEnd(w))
		c.state.Networks = &ends
		if err := e.writeState(c); err != nil {
			return err
		}
		e.noteNetwork(n, "connect", "container", c.ID)
		return nil
	})
}

// NetworkDisconnect takes a container off a network. With force, that it is not on it is no error.
func (e *Engine) NetworkDisconnect(ctx context.Context, ref, name string, force bool) error {
	name = network.Canonical(name)
	n, err := e.networks().Inspect(name)
	switch {
	case err == nil:
		name = n.Name
	case !force:
		return err
	default:
		n = &network.Network{Name: name} // what is gone may still be in the record
	}
	return e.withContainer(ctx, ref, func(c *container) error {
		ends := slices.DeleteFunc(slices.Clone(c.ends()), func(end record.NetworkEnd) bool { return end.Network == name })
		if len(ends) == len(c.ends()) {
			if force {
				return nil
			}
			return errdefs.New(errdefs.ErrState, "container %q is not on network %q", c.name(), name)
		}
		if att := e.attachment(c); c.alive() && att != nil {
			err := withNetns(c, func(path string) error { return e.networks().Disconnect(ctx, c.ID, path, name) })
			if err != nil {
				return err
			}
			if err := e.forgetNames(c, att.On(name)); err != nil {
				return err
			}
		}
		c.state.Networks = &ends
		if err := e.writeState(c); err != nil {
			return err
		}
		e.noteNetwork(n, "disconnect", "container", c.ID)
		return nil
	})
}

// withNetns keeps the network namespace of a running container open while fn works on it by a path.
func withNetns(c *container, fn func(path string) error) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", c.live.Pid))
	if err != nil {
		return err
	}
	defer f.Close()
	if !c.alive() {
		return errdefs.New(errdefs.ErrState, "container %q has just ended", c.name())
	}
	return fn(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()))
}

// refreshNames adds the container's new addresses to its /etc/hosts, and servers that know names to its resolv.conf. The
// files are changed in place: what is mounted in the container is the file, not its name.
func (e *Engine) refreshNames(c *container) error {
	att := e.attachment(c)
	if att == nil {
		return nil
	}
	hosts, servers := namesOf(c, &att.Networks[len(att.Networks)-1])
	return e.changeNames(c, func(file string, old []string) []string {
		if file == resolvFile {
			return append(servers, old...)
		}
		return append(old, hosts...)
	})
}

// forgetNames takes back what refreshNames, or the start, has written about a network.
func (e *Engine) forgetNames(c *container, end *state.Endpoint) error {
	if end == nil {
		return nil
	}
	hosts, servers := namesOf(c, end)
	return e.changeNames(c, func(_ string, old []string) []string {
		return slices.DeleteFunc(old, func(line string) bool { return slices.Contains(servers, line) || slices.Contains(hosts, line) })
	})
}

// namesOf are the lines about one network in /etc/hosts and /etc/resolv.conf.
func namesOf(c *container, end *state.Endpoint) (hosts, servers []string) {
	for _, ip := range end.IPs {
		hosts = append(hosts, fmt.Sprintf("%s\t%s\n", ip.Addr(), c.Hostname))
	}
	for _, server := range end.DNSServers {
		servers = append(servers, fmt.Sprintf("nameserver %s\n", server))
	}
	return hosts, servers
}

// changeNames rewrites the two files, where they are not the image's own, by their lines.
func (e *Engine) changeNames(c *container, change func(file string, lines []string) []string) error {
	for _, name := range []string{hostsFile, resolvFile} {
		path := filepath.Join(e.dirs.ContainerRun(c.ID), name)
		old, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		lines := slices.Collect(strings.Lines(string(old)))
		if err := rewrite(path, strings.Join(change(name, lines), "")); err != nil {
			return err
		}
	}
	return nil
}

// rewrite changes a file in place.
func rewrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// NetworkReload makes the rules of the networks anew, after somebody has flushed them.
func (e *Engine) NetworkReload(ctx context.Context) error { return e.networks().Reload(ctx) }

// Ports are the published ports of a container; none when it does not run.
func (e *Engine) Ports(_ context.Context, ref string) ([]state.Port, error) {
	var ports []state.Port
	err := e.onContainer(ref, func(id string) error {
		c, err := e.look(id)
		if err != nil {
			return err
		}
		if !c.alive() {
			return errdefs.New(errdefs.ErrState, "container %q does not run", c.name())
		}
		if att := e.attachment(c); att != nil {
			ports = att.Ports
		}
		return nil
	})
	return ports, err
}
