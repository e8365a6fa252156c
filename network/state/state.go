// Package state is what the network's processes tell each other through small files on a tmpfs: which networks have a
// bridge now, which containers are on them, and what proves that these live.
//
// All files lie in one directory (Dir). Each is replaced whole, so readers take no lock. Nothing in it survives a
// reboot, and nothing in it is believed without proof: an attachment counts while its monitor or its container lives.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
	"github.com/wherry-containers/wherry/pkg/layout"
	"github.com/wherry-containers/wherry/pkg/procs"
)

// Dir is the directory of the files. Below it:
//
//	lock                   flock: shared while a container is attached, exclusive to make or end the namespace
//	ns                     the user's network namespace, bind-mounted; not there for real root, who uses the host's
//	uplink.json            Process: the uplink
//	net.json               Process: wherry-net
//	ctl.sock               wherry-net's control socket
//	networks/NETWORK.json  Network
//	attach/ID.json         Attachment
//	ended/ID.json          Attachment whose container is gone; foreign plugins have to be told
type Dir string

// DirOf returns the directory of the user that dirs belong to.
func DirOf(dirs layout.Dirs) Dir { return Dir(filepath.Join(dirs.Run, "net")) }

// Lock is the path of the lock file.
func (d Dir) Lock() string { return filepath.Join(string(d), "lock") }

// Namespace is where the user's network namespace is mounted.
func (d Dir) Namespace() string { return filepath.Join(string(d), "ns") }

// Control is the path of wherry-net's socket.
func (d Dir) Control() string { return filepath.Join(string(d), "ctl.sock") }

// UplinkFile is the path of the uplink's Process.
func (d Dir) UplinkFile() string { return filepath.Join(string(d), "uplink.json") }

// NetFile is the path of wherry-net's Process.
func (d Dir) NetFile() string { return filepath.Join(string(d), "net.json") }

// Networks is the directory of the networks' files.
func (d Dir) Networks() string { return filepath.Join(string(d), "networks") }

// Attachments is the directory of the attachments' files.
func (d Dir) Attachments() string { return filepath.Join(string(d), "attach") }

// Ended is the directory of the attachments that are over but for foreign plugins, which have to be told. It is there
// once a foreign plugin has taken part.
func (d Dir) Ended() string { return filepath.Join(string(d), "ended") }

// Process is one process, so named that a recycled pid is told.
type Process struct {
	Pid    int
	Start  uint64 // field 22 of /proc/PID/stat
	BootID string
	NetNS  uint64 `json:",omitempty"` // inode of the network namespace that it serves; 0: not said
}

// Alive tells whether the process lives.
func (p Process) Alive() bool {
	return p.Pid > 0 && p.BootID == bootID() && procs.Alive(p.Pid, p.Start)
}

// Network is a network that has a bridge now.
type Network struct {
	Name       string
	ID         string
	Bridge     string
	Gateways   []netip.Addr // the bridge's own addresses, one a subnet; none of an unconfigured family
	Subnets    []netip.Prefix
	Internal   bool         `json:",omitempty"` // no way out: names of the world are not looked up
	DNSEnabled bool         `json:",omitempty"` // wherry-net answers on Gateways
	DNSServers []netip.Addr `json:",omitempty"` // forward to these; none: the host's resolvers
	// Open networks exchange packets with other open ones; the default is that none passes.
	Open         bool `json:",omitempty"`
	NoMasquerade bool `json:",omitempty"`
}

// Attachment says on which networks a container is.
type Attachment struct {
	ID       string // 64 hexadecimal digits
	Name     string
	Hostname string `json:",omitempty"`
	Networks []Endpoint
	Ports    []Port   `json:",omitempty"`
	DNS      []string `json:",omitempty"` // --dns: its queries are forwarded to these
	// Leftovers are paths to remove with the attachment: leases and cached results. The monitor does it at the end.
	Leftovers []string `json:",omitempty"`
	// AtEnd is a command line that tells foreign plugins of the end; the monitor starts it. Empty: there are none.
	AtEnd   []string `json:",omitempty"`
	Monitor Process  // holds the network namespace; lives as long as the container, restarts included
	RunDir  string   // the container's run directory: live.json in it names the first process
}

// Endpoint is a container's end of one network.
type Endpoint struct {
	Network    string
	Interface  string         // in the container: eth0
	Host       string         `json:",omitempty"` // the other end, on the bridge
	IPs        []netip.Prefix // with the subnet's length
	Gateways   []netip.Addr   `json:",omitempty"`
	MAC        string
	Aliases    []string `json:",omitempty"` // names beside Name, Hostname and the id's first 12 digits
	DNSServers []string `json:",omitempty"` // that the network named for resolv.conf
	DNSSearch  []string `json:",omitempty"`
	Foreign    bool     `json:",omitempty"` // a plugin that is not ours has to be told of the end
}

// Port is one published port.
type Port struct {
	HostIP        string `json:",omitempty"` // empty: all addresses of both families
	HostPort      uint16
	ContainerPort uint16
	Protocol      string // tcp, udp, sctp
}

// String is the form of `wherry port`: 80/tcp -> 0.0.0.0:8080.
func (p Port) String() string {
	host := p.HostIP
	switch {
	case host == "":
		host = "0.0.0.0"
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%d/%s -> %s:%d", p.ContainerPort, p.Protocol, host, p.HostPort)
}

// Proof returns the processes of which one lives as long as the attachment counts: the monitor, and the container's
// first process once it has started (a monitor may be killed while its container runs on).
func (a *Attachment) Proof() []Process {
	proof := []Process{a.Monitor}
	var live struct {
		Pid      int
		PidStart uint64
		BootID   string
	}
	data, err := os.ReadFile(filepath.Join(a.RunDir, "live.json"))
	if err == nil && json.Unmarshal(data, &live) == nil && live.Pid > 0 {
		proof = append(proof, Process{Pid: live.Pid, Start: live.PidStart, BootID: live.BootID})
	}
	return proof
}

// Alive tells whether the container may still use its networks.
func (a *Attachment) Alive() bool {
	for _, p := range a.Proof() {
		if p.Alive() {
			return true
		}
	}
	return false
}

// Foreign tells whether a plugin that is not ours has to be told of the attachment's end.
func (a *Attachment) Foreign() bool {
	return slices.ContainsFunc(a.Networks, func(e Endpoint) bool { return e.Foreign })
}

// On returns the attachment's end of the network, nil if it is not on it.
func (a *Attachment) On(network string) *Endpoint {
	for i := range a.Networks {
		if a.Networks[i].Network == network {
			return &a.Networks[i]
		}
	}
	return nil
}

// WriteNetwork says that n has its bridge.
func (d Dir) WriteNetwork(n *Network) error { return write(d.Networks(), n.Name, n) }

// RemoveNetwork takes back what WriteNetwork said.
func (d Dir) RemoveNetwork(name string) error { return remove(d.Networks(), name) }

// Network reads one network; fs.ErrNotExist when it has no bridge.
func (d Dir) Network(name string) (*Network, error) {
	n := &Network{}
	return n, Read(path(d.Networks(), name), n)
}

// AttachmentFile is the path of a container's Attachment.
func (d Dir) AttachmentFile(id string) string { return path(d.Attachments(), id) }

// WriteAttachment replaces the attachment of a.ID. The caller holds the container's lock.
func (d Dir) WriteAttachment(a *Attachment) error { return write(d.Attachments(), a.ID, a) }

// RemoveAttachment is done when there is none. What a killed writer has left goes too.
func (d Dir) RemoveAttachment(id string) error {
	os.Remove(temporary(d.AttachmentFile(id)))
	return remove(d.Attachments(), id)
}

// Attachment reads one attachment, alive or not; fs.ErrNotExist when there is none.
func (d Dir) Attachment(id string) (*Attachment, error) {
	a := &Attachment{}
	return a, Read(path(d.Attachments(), id), a)
}

// ListNetworks reads all networks; a file that cannot be read is left out.
func (d Dir) ListNetworks() []*Network {
	var all []*Network
	for _, name := range names(d.Networks()) {
		if n, err := d.Network(name); err == nil {
			all = append(all, n)
		}
	}
	return all
}

// ListAttachments reads all attachments, alive or not; a file that cannot be read is left out.
func (d Dir) ListAttachments() []*Attachment {
	var all []*Attachment
	for _, id := range names(d.Attachments()) {
		if a, err := d.Attachment(id); err == nil {
			all = append(all, a)
		}
	}
	return all
}

func path(dir, name string) string { return filepath.Join(dir, name+".json") }

// EndAttachment takes an attachment away whose container is gone. One that foreign plugins have to be told of goes to
// Ended, until somebody has told them.
func (d Dir) EndAttachment(a *Attachment) error {
	if !a.Foreign() {
		return d.RemoveAttachment(a.ID)
	}
	err := os.Rename(path(d.Attachments(), a.ID), path(d.Ended(), a.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ListEnded reads the attachments that foreign plugins have to be told of.
func (d Dir) ListEnded() []*Attachment {
	var all []*Attachment
	for _, id := range names(d.Ended()) {
		a := &Attachment{}
		if Read(path(d.Ended(), id), a) == nil {
			all = append(all, a)
		}
	}
	return all
}

// RemoveEnded is done when there is none.
func (d Dir) RemoveEnded(id string) error { return remove(d.Ended(), id) }

// names are those of the files in dir that are not somebody's half-written ones.
func names(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".json"); ok && !strings.HasPrefix(name, ".") {
			all = append(all, name)
		}
	}
	return all
}

// Read reads one of the files.
func Read(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// Write replaces one of the files; its directory is made when missing.
func Write(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	err = replace(path, data)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		err = replace(path, data)
	}
	return err
}

// replace puts data in the place of the file in one step. Unlike atomicfile it names no file at its fault points: these
// have ids in their names.
func replace(path string, data []byte) error {
	tmp := temporary(path)
	err := faultpoint.Err("network.write")
	if err == nil {
		err = os.WriteFile(tmp, data, 0o600)
	}
	if err == nil {
		faultpoint.Hit("network.write")
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// temporary is the name that a file has until it is whole.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

func write(dir, name string, v any) error { return Write(path(dir, name), v) }

func remove(dir, name string) error {
	err := os.Remove(path(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func bootID() string {
	id, _ := procs.BootID()
	return id
}
