// Package keeper is what wherry-net does: it looks after the names and published ports of one user's containers, says
// so on its control socket, and ends when no container needs it. It keeps nothing that the state's files do not say, so
// one that was killed is replaced without loss.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry-containers/wherry/network/control"
	"github.com/wherry-containers/wherry/network/dns"
	"github.com/wherry-containers/wherry/network/nssocket"
	"github.com/wherry-containers/wherry/network/ports"
	"github.com/wherry-containers/wherry/network/rootless"
	"github.com/wherry-containers/wherry/network/roster"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/network/transparent"
)

const (
	// linger is how long it stays without a container: the next one starts faster with all in place.
	linger = 5 * time.Second
	// busy is how long after the first question of a series the memory it took is given back.
	busy = 5 * time.Second
)

// Config is what wherry-net is started with.
type Config struct {
	Dir       state.Dir
	Control   *net.UnixListener
	Namespace *os.File     // of the networks; nil: the program's own
	Log       io.Writer    // gets one line per thing that does not work
	Confine   func() error // called once what takes privileges is done
	Settle    func()       // called some time after there was something to do: memory can go back
	Linger    time.Duration
	DNSPort   uint16
	HostConf  string
}

type keeper struct {
	Config
	roster *roster.Roster
	names  *dns.Server
	ports  *ports.Forwarder
	end    context.CancelFunc

	namespace *nssocket.Namespace

	mu   sync.Mutex // one Sync at a time
	idle *time.Timer
	busy atomic.Bool

	ended atomic.Bool // another one may run already
}

// Run serves until ctx is done, it is told to quit, or no container has needed it for a while.
func Run(ctx context.Context, c Config) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	k, err := newKeeper(ctx, c, end)
	if err != nil {
		return err
	}
	defer func() {
		if !k.ended.Load() {
			k.withdraw()
		}
	}()
	k.used()
	watched := make(chan error, 1)
	go func() { watched <- k.roster.Watch(ctx) }()
	k.sync(ctx)
	served := make(chan error, 1)
	go func() { served <- control.Serve(ctx, c.Control, k.handle) }()
	select {
	case <-ctx.Done():
		return nil
	case err = <-watched:
	case err = <-served:
	}
	return err
}

func newKeeper(ctx context.Context, c Config, end context.CancelFunc) (*keeper, error) {
	if c.Linger == 0 {
		c.Linger = linger
	}
	people, err := roster.New(c.Dir)
	if err != nil {
		return nil, err
	}
	var ns *nssocket.Namespace
	if c.Namespace != nil {
		if ns, err = nssocket.Enter(c.Namespace); err != nil {
			return nil, err
		}
	}
	if err := rootless.Outside(c.Dir); err != nil {
		fmt.Fprintln(c.Log, "leave the mount of the network namespace:", err)
	}
	if c.Confine != nil {
		if err := c.Confine(); err != nil {
			return nil, err
		}
	}
	k := &keeper{Config: c, roster: people, end: end, namespace: ns}
	k.names = dns.New(dns.Config{Roster: people, Namespace: ns, Port: c.DNSPort, HostConf: c.HostConf, Asked: k.used})
	k.ports = ports.New(ports.Config{Roster: people, Namespace: ns, Transparent: k.setTransparent})
	k.idle = time.AfterFunc(c.Linger, func() { k.leave(ctx) })
	people.OnGone(k.gone)
	return k, nil
}

// setTransparent returns the mark for the containers to see their clients' addresses, 0 where that cannot be.
func (k *keeper) setTransparent() int {
	if err := k.namespace.Do(transparent.Set); err != nil {
		fmt.Fprintln(k.Log, "containers see the gateway's address in place of their clients':", err)
		return 0
	}
	return transparent.Mark
}

// withdraw stops serving and takes back what would stay on the host.
func (k *keeper) withdraw() {
	k.names.Close()
	k.ports.CloseAll()
	if k.namespace != nil || !k.ports.Transparently() {
		return // the rules end with the namespace
	}
	if err := transparent.Clear(); err != nil {
		fmt.Fprintln(k.Log, "remove the routes of answers:", err)
	}
}

// used notes that there was something to do.
func (k *keeper) used() {
	if k.Settle == nil || k.busy.Load() || !k.busy.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(busy, func() {
		k.busy.Store(false)
		k.Settle()
	})
}

// gone hears of each container that has ended.
func (k *keeper) gone(id string) {
	k.ports.Gone(id)
	k.watchIdle()
}

// watchIdle starts the wait for the end when there is no container, and stops it when there is one.
func (k *keeper) watchIdle() {
	if len(k.roster.View().Containers()) == 0 {
		k.idle.Reset(k.Linger)
		return
	}
	k.idle.Stop()
}

// leave ends the program, and the namespace with it, if no container came meanwhile and nobody is about to bring one.
// What it holds must be free before another one may start.
func (k *keeper) leave(ctx context.Context) {
	if len(k.roster.View().Containers()) > 0 {
		return
	}
	k.withdraw()
	ended, err := rootless.End(k.Dir)
	if err != nil {
		fmt.Fprintln(k.Log, err)
	}
	if ended {
		k.ended.Store(true)
		k.end()
		return
	}
	if k.namespace == nil && k.ports.Transparently() {
		k.setTransparent()
	}
	k.sync(ctx)
}

// sync serves what the state names, all of it that can be served.
func (k *keeper) sync(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := errors.Join(k.names.Sync(ctx, k.roster.View().Networks()), k.ports.Sync(ctx))
	if err != nil {
		fmt.Fprintln(k.Log, err)
	}
	k.watchIdle()
	return err
}

func (k *keeper) handle(ctx context.Context, req control.Request) control.Reply {
	k.used()
	var err error
	var reply control.Reply
	switch req.Op {
	case control.Expose:
		reply.Ports, err = k.ports.Expose(ctx, req.ID, wants(req.Ports))
		k.watchIdle()
	case control.Unexpose:
		k.ports.Close(req.ID)
		k.watchIdle()
	case control.Reload:
		err = k.sync(ctx)
	case control.Quit:
		time.AfterFunc(10*time.Millisecond, k.end) // the answer goes first
	}
	if err != nil {
		return control.Reply{Error: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	reply.OK = true
	return reply
}

func wants(asked []control.Want) []ports.Want {
	all := make([]ports.Want, len(asked))
	for i, want := range asked {
		all[i] = ports.Want{Port: want.Port, End: want.HostPortEnd}
	}
	return all
}
