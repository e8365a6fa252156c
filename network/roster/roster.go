// Package roster is who is on which network now: the state's files, read again whenever they have changed, without
// the containers that are gone.
//
// Nobody has to tell it of a change. It looks at the two directories' times at each question, which costs two system
// calls, and holds a pidfd of each container's monitor, which the kernel makes readable at the monitor's end.
package roster

import (
	"context"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry-containers/wherry/network/state"
)

// settled is how old a directory's time must be before an unchanged one means an unchanged directory: kernels before
// 6.13 count file times in ticks.
const settled = 40 * time.Millisecond

// Roster answers from the state's files in one directory.
type Roster struct {
	dir  state.Dir
	now  atomic.Pointer[View]
	mu   sync.Mutex // one reader of the files at a time
	nets map[string]file[state.Network]
	atts map[string]file[state.Attachment]
	proc *watcher
	gone func(id string)
}

// file is what was read from one file of the state, and what tells whether it is still that file.
type file[T any] struct {
	info  os.FileInfo
	value *T
}

// New makes a roster of dir, whose directories it makes where they are missing. Watch must run for it to notice ends.
func New(dir state.Dir) (*Roster, error) {
	for _, d := range []string{dir.Networks(), dir.Attachments()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	proc, err := newWatcher()
	if err != nil {
		return nil, err
	}
	return &Roster{dir: dir, proc: proc, nets: map[string]file[state.Network]{}, atts: map[string]file[state.Attachment]{}}, nil
}

// OnGone sets what is called, on a goroutine of its own, with the id of each container that is gone: dead, or its file
// removed. It may be back by then. Before the first View.
func (r *Roster) OnGone(do func(id string)) { r.gone = do }

// Watch notices the ends of containers until ctx is done. Without it they are noticed when their files go.
func (r *Roster) Watch(ctx context.Context) error {
	return r.proc.run(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.read()
	})
}

// View returns the state of this moment.
func (r *Roster) View() *View {
	if v := r.now.Load(); v != nil && v.fresh(r.dir) {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.now.Load(); v != nil && v.fresh(r.dir) {
		return v
	}
	return r.read()
}

// read makes a new view. Under mu.
func (r *Roster) read() *View {
	// The times come first: a file that changes during the reading leaves them older than the directory.
	v := &View{networks: map[string]*Network{}, byID: map[string]*state.Attachment{}}
	v.stamp = [2]time.Time{modified(r.dir.Networks()), modified(r.dir.Attachments())}
	v.trusted = time.Since(v.stamp[0]) > settled && time.Since(v.stamp[1]) > settled
	r.nets = update(r.dir.Networks(), r.nets)
	r.atts = update(r.dir.Attachments(), r.atts)
	for name, f := range r.nets {
		if f.value.Name == name {
			v.addNetwork(f.value)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.atts)) { // members of one name always in the same order
		if a := r.atts[id].value; a.ID == id && r.proc.holds(a) {
			v.addAttachment(a)
		}
	}
	r.proc.keep(v.byID)
	before := r.now.Swap(v)
	if before != nil && r.gone != nil {
		for id := range before.byID {
			if v.byID[id] == nil {
				go r.gone(id) // it will ask for a View, and its own lock comes before ours
			}
		}
	}
	return v
}

func modified(dir string) time.Time {
	info, err := os.Stat(dir)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// update reads the files of dir that are not the ones read before. A file that cannot be read is left out until it
// is replaced.
func update[T any](dir string, before map[string]file[T]) map[string]file[T] {
	after := maps.Clone(before)
	clear(after)
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if old, ok := before[name]; ok && same(old.info, info) {
			after[name] = old
			continue
		}
		value := new(T)
		if state.Read(filepath.Join(dir, entry.Name()), value) == nil {
			after[name] = file[T]{info, value}
		}
	}
	return after
}

// same tells whether a is b: files are replaced by others, never written in place.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// View is the state at one moment. It does not change.
type View struct {
	stamp    [2]time.Time
	trusted  bool
	networks map[string]*Network
	byID     map[string]*state.Attachment
}

// Network is a network and who is on it.
type Network struct {
	*state.Network
	names map[string][]Member
	addrs map[netip.Addr]Member
}

// Member is a container's end of a network.
type Member struct {
	*state.Attachment
	*state.Endpoint
}

func (v *View) fresh(dir state.Dir) bool {
	return v.trusted && modified(dir.Attachments()).Equal(v.stamp[1]) && modified(dir.Networks()).Equal(v.stamp[0])
}

func (v *View) addNetwork(n *state.Network) {
	v.networks[n.Name] = &Network{Network: n, names: map[string][]Member{}, addrs: map[netip.Addr]Member{}}
}

func (v *View) addAttachment(a *state.Attachment) {
	v.byID[a.ID] = a
	for i := range a.Networks {
		end := &a.Networks[i]
		n := v.networks[end.Network]
		if n == nil {
			continue // a network without a bridge of ours: macvlan, a foreign plugin
		}
		m := Member{a, end}
		for _, ip := range end.IPs {
			n.addrs[ip.Addr().Unmap()] = m
		}
		said := map[string]bool{"": true}
		for _, name := range append([]string{a.Name, a.Hostname, a.ID[:min(12, len(a.ID))]}, end.Aliases...) {
			if name = strings.ToLower(name); !said[name] {
				said[name] = true
				n.names[name] = append(n.names[name], m)
			}
		}
	}
}

// Networks returns all networks that have a bridge.
func (v *View) Networks() map[string]*Network { return v.networks }

// Network returns the network of that name, or nil.
func (v *View) Network(name string) *Network { return v.networks[name] }

// Container returns the attachment of the container with that id, or nil.
func (v *View) Container(id string) *state.Attachment { return v.byID[id] }

// Containers returns all living containers by id.
func (v *View) Containers() map[string]*state.Attachment { return v.byID }

// Named returns the members of that lower-case name: its container's name or hostname, an alias, a short id.
func (n *Network) Named(name string) []Member { return n.names[name] }

// At returns the member with that address.
func (n *Network) At(addr netip.Addr) (Member, bool) {
	m, ok := n.addrs[addr]
	return m, ok
}

// Covers tells whether addr lies in one of the network's subnets.
func (n *Network) Covers(addr netip.Addr) bool {
	for _, subnet := range n.Subnets {
		if subnet.Contains(addr) {
			return true
		}
	}
	return false
}

// Covers tells whether addr lies in a subnet of any network.
func (v *View) Covers(addr netip.Addr) bool {
	for _, n := range v.networks {
		if n.Covers(addr) {
			return true
		}
	}
	return false
}
