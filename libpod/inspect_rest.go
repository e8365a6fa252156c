package libpod

import (
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/libpod/record"
	"github.com/wherry-containers/wherry/libpod/spec"
)

// InspectRest are fields of HostConfig that clients of Docker's API look for.
type InspectRest struct {
	ConsoleSize     [2]uint // rows, columns
	Isolation       string
	Links           []string
	MaskedPaths     []string
	Mounts          []InspectWish `json:",omitempty"` // those that Binds and Tmpfs cannot say
	PublishAllPorts bool
	ReadonlyPaths   []string
	Tmpfs           map[string]string `json:",omitempty"`
	VolumeDriver    string
	VolumesFrom     []string
}

// InspectWish is one of HostConfig.Mounts: a --mount, as it was asked for.
type InspectWish struct {
	Type          string
	Source        string              `json:",omitempty"`
	Target        string              `json:",omitempty"`
	ReadOnly      bool                `json:",omitempty"`
	BindOptions   *InspectWishBind    `json:",omitempty"`
	VolumeOptions *InspectWishVolume  `json:",omitempty"`
	ImageOptions  *InspectWishSubpath `json:",omitempty"`
}

// InspectWishBind is what a bind mount can have beside.
type InspectWishBind struct {
	Propagation            string `json:",omitempty"`
	NonRecursive           bool   `json:",omitempty"`
	CreateMountpoint       bool   `json:",omitempty"`
	ReadOnlyNonRecursive   bool   `json:",omitempty"`
	ReadOnlyForceRecursive bool   `json:",omitempty"`
}

// InspectWishVolume is what a volume can have beside.
type InspectWishVolume struct {
	NoCopy       bool               `json:",omitempty"`
	Labels       map[string]string  `json:",omitempty"`
	Subpath      string             `json:",omitempty"`
	DriverConfig *InspectWishDriver `json:",omitempty"`
}

// InspectWishDriver says how a volume is made.
type InspectWishDriver struct {
	Name    string            `json:",omitempty"`
	Options map[string]string `json:",omitempty"`
}

// InspectWishSubpath is what an image mount can have beside.
type InspectWishSubpath struct {
	Subpath string `json:",omitempty"`
}

func inspectRest(c *container) InspectRest {
	doc := InspectRest{ConsoleSize: [2]uint{uint(c.Process.Rows), uint(c.Process.Columns)}, PublishAllPorts: c.Network.PublishAll}
	for _, l := range c.Network.Links {
		doc.Links = append(doc.Links, "/"+l.Name+":/"+c.name()+"/"+l.Alias)
	}
	if !c.Security.Privileged {
		doc.MaskedPaths, doc.ReadonlyPaths = spec.PathsOf(&c.Security)
	}
	for i := range c.Mounts {
		m := &c.Mounts[i]
		switch {
		case m.Type == "tmpfs":
			if doc.Tmpfs == nil {
				doc.Tmpfs = map[string]string{}
			}
			options := m.Options
			if m.ReadOnly {
				options = append([]string{"ro"}, options...)
			}
			doc.Tmpfs[m.Target] = strings.Join(options, ",")
		case !m.Anonymous && !sayable(m):
			doc.Mounts = append(doc.Mounts, wishOf(m))
		}
	}
	return doc
}

// sayable tells whether -v can say the mount.
func sayable(m *record.Mount) bool {
	plain := m.SubPath == "" && m.Below == "" && len(m.DriverOpts) == 0 && len(m.Labels) == 0
	return plain && (m.Type == "bind" && m.MakeSource || m.Type == "volume")
}

func wishOf(m *record.Mount) InspectWish {
	w := InspectWish{Type: m.Type, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
	switch m.Type {
	case "bind":
		w.BindOptions = &InspectWishBind{Propagation: m.Propagation, NonRecursive: m.NonRecurs, CreateMountpoint: m.MakeSource,
			ReadOnlyNonRecursive: m.Below == "writable", ReadOnlyForceRecursive: m.Below == "readonly"}
		if *w.BindOptions == (InspectWishBind{}) {
			w.BindOptions = nil
		}
	case "volume":
		w.VolumeOptions = &InspectWishVolume{NoCopy: m.NoCopy, Labels: m.Labels, Subpath: m.SubPath}
		if m.Driver != "" || len(m.DriverOpts) > 0 {
			w.VolumeOptions.DriverConfig = &InspectWishDriver{Name: m.Driver, Options: m.DriverOpts}
		}
	case "image":
		if w.ReadOnly = false; m.SubPath != "" {
			w.ImageOptions = &InspectWishSubpath{m.SubPath}
		}
	}
	return w
}

// exposedPorts are Config.ExposedPorts: what the image and the user expose, and what is published.
func exposedPorts(c *container) map[string]struct{} {
	ports := map[string]struct{}{}
	for _, port := range c.Network.Expose {
		ports[port] = struct{}{}
	}
	for port := range c.portBindings() {
		ports[port] = struct{}{}
	}
	return ports
}

// optionWords are those of a mount as -v has them.
func optionWords(m *record.Mount) []string {
	var options []string
	if m.ReadOnly {
		options = append(options, "ro")
	}
	options = append(options, m.Options...)
	if m.Overlay {
		options = append(options, "O")
	}
	if m.Relabel != "" {
		options = append(options, m.Relabel)
	}
	if m.Propagation != "" && !slices.Contains(options, m.Propagation) {
		options = append(options, m.Propagation)
	}
	if m.NoCopy {
		options = append(options, "nocopy")
	}
	if m.NonRecurs {
		options = append(options, "bind")
	}
	return options
}
