package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	apinet "github.com/moby/moby/api/types/network"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/network/state"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// listFilters are Docker's keys, and some of Podman's.
func listFilters() []string {
	return []string{"ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "label!", "name", "network", "publish", "since",
		"status", "volume", "until", "command", "restart-policy"}
}

func (s *Server) containerList(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		delete(filters, "isolation") // of Windows: all here have the default
		err = known(filters, listFilters()...)
	}
	if err != nil {
		return err
	}
	limit, err := r.number("limit", 0)
	if err != nil {
		return err
	}
	for _, key := range []string{"before", "since"} { // as parameters of their own they are older than filters
		if v := r.param(key); v != "" {
			filters = add(filters, key, v)
		}
	}
	for i, name := range filters["network"] {
		filters["network"][i] = s.networkName(r.Context(), name)
	}
	opts := libpod.ListOptions{All: r.flag("all") || limit > 0, Last: max(limit, 0), Filters: filters, Size: r.flag("size")}
	rows, err := s.engine.List(r.Context(), opts)
	if errors.Is(err, errdefs.ErrNotFound) {
		return noSuch("container", strings.Join(append(filters["before"], filters["since"]...), ", "))
	} else if err != nil {
		return err
	}
	l := &lister{s: s, size: opts.Size, now: time.Now(), ids: map[string]string{}}
	docs := make([]container.Summary, len(rows))
	for i := range rows {
		docs[i] = l.row(r.Context(), &rows[i])
	}
	return w.json(http.StatusOK, docs)
}

func add(filters map[string][]string, key, value string) map[string][]string {
	if filters == nil {
		filters = map[string][]string{}
	}
	filters[key] = append(filters[key], value)
	return filters
}

// networkName is the name of a network that may be named by its id.
func (s *Server) networkName(ctx context.Context, ref string) string {
	if ref == apinet.NetworkDefault {
		return defaultNetwork
	}
	if n, err := s.engine.NetworkInspect(ctx, ref); err == nil {
		return n.Name
	}
	return ref
}

// lister makes the rows of one list.
type lister struct {
	s    *Server
	size bool
	now  time.Time
	ids  map[string]string // of networks
}

func (l *lister) row(ctx context.Context, s *libpod.Summary) container.Summary {
	doc := container.Summary{
		ID: s.ID, Names: []string{"/" + s.Name}, Image: s.Image, ImageID: "sha256:" + s.ImageID, Command: commandLine(s.Command), Created: s.Created.Unix(),
		Ports: ports(s.Ports), Labels: s.Labels, State: container.ContainerState(s.Status), Status: s.StatusText(l.now), Mounts: mountPoints(s),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: map[string]*apinet.EndpointSettings{}},
	}
	if s.Image == "" {
		doc.Image = doc.ImageID
	}
	if doc.Labels == nil {
		doc.Labels = map[string]string{}
	}
	if s.Health != "" {
		doc.Health = &container.HealthSummary{Status: container.HealthStatus(s.Health)}
	}
	if l.size {
		doc.SizeRw, doc.SizeRootFs = s.SizeRw, s.SizeRootFs
	}
	if len(s.Networks) > 0 {
		doc.HostConfig.NetworkMode = s.Networks[0]
	}
	for _, name := range s.Networks {
		if !strings.Contains(name, ":") { // the namespace of another
			doc.NetworkSettings.Networks[name] = &apinet.EndpointSettings{NetworkID: l.networkID(ctx, name)}
		}
	}
	for i := range s.Ends {
		end := &s.Ends[i]
		doc.NetworkSettings.Networks[end.Network] = endpoint(s.ID, l.networkID(ctx, end.Network), end)
	}
	return doc
}

func (l *lister) networkID(ctx context.Context, name string) string {
	if id, ok := l.ids[name]; ok {
		return id
	}
	l.ids[name] = l.s.networkID(ctx, name)
	return l.ids[name]
}

// networkID is the id of a network; the modes that are none have one all the same.
func (s *Server) networkID(ctx context.Context, name string) string {
	if n, err := s.network(ctx, name); err == nil {
		return n.ID
	}
	return ""
}

// endpoint is a container's end of a network.
func endpoint(id, networkID string, end *state.Endpoint) *apinet.EndpointSettings {
	doc := &apinet.EndpointSettings{NetworkID: networkID, EndpointID: endpointID(id, networkID), Aliases: end.Aliases}
	doc.MacAddress.UnmarshalText([]byte(end.MAC))
	for _, ip := range end.IPs {
		if ip.Addr().Is4() && !doc.IPAddress.IsValid() {
			doc.IPAddress, doc.IPPrefixLen = ip.Addr(), ip.Bits()
		} else if ip.Addr().Is6() && !doc.GlobalIPv6Address.IsValid() {
			doc.GlobalIPv6Address, doc.GlobalIPv6PrefixLen = ip.Addr(), ip.Bits()
		}
	}
	for _, gw := range end.Gateways {
		if gw.Is4() && !doc.Gateway.IsValid() {
			doc.Gateway = gw
		} else if gw.Is6() && !doc.IPv6Gateway.IsValid() {
			doc.IPv6Gateway = gw
		}
	}
	return doc
}

// commandLine is a command as Docker lists it.
func commandLine(args []string) string {
	words := slices.Clone(args)
	for i, word := range words {
		if i > 0 && strings.Contains(word, " ") {
			words[i] = "'" + word + "'"
		}
	}
	return strings.Join(words, " ")
}

func ports(list []state.Port) []container.PortSummary {
	docs := make([]container.PortSummary, 0, len(list))
	for _, p := range list {
		doc := container.PortSummary{PrivatePort: p.ContainerPort, PublicPort: p.HostPort, Type: p.Protocol, IP: netip.IPv4Unspecified()}
		if ip, err := netip.ParseAddr(p.HostIP); err == nil {
			doc.IP = ip
		}
		docs = append(docs, doc)
	}
	return docs
}

// mountPoints are the mounts of a row; how they are mounted only inspect tells.
func mountPoints(s *libpod.Summary) []container.MountPoint {
	docs := []container.MountPoint{}
	for i, source := range s.Mounts {
		doc := container.MountPoint{Type: mount.TypeVolume, Name: source, Driver: "local", Destination: s.Targets[i], RW: true}
		switch {
		case source == s.Targets[i] && !strings.HasPrefix(source, "/"):
		case strings.HasPrefix(source, "/"):
			doc.Type, doc.Name, doc.Driver, doc.Source, doc.Propagation = mount.TypeBind, "", "", source, mount.PropagationRPrivate
		}
		docs = append(docs, doc)
	}
	return docs
}
