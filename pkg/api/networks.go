package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	apinet "github.com/moby/moby/api/types/network"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/network"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

func networkRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/networks", handle: (*Server).networkList},
		{method: http.MethodGet, pattern: "/networks/{name}", handle: (*Server).networkInspect},
		{method: http.MethodPost, pattern: "/networks/create", handle: (*Server).networkCreate},
		{method: http.MethodPost, pattern: "/networks/prune", handle: (*Server).networkPrune},
		{method: http.MethodPost, pattern: "/networks/{name}/connect", handle: (*Server).networkConnect},
		{method: http.MethodPost, pattern: "/networks/{name}/disconnect", handle: (*Server).networkDisconnect},
		{method: http.MethodDelete, pattern: "/networks/{name}", handle: (*Server).networkRemove},
	}
}

// Names that Docker has networks of, and wherry namespaces.
const (
	hostNetwork = "host"
	noNetwork   = "none"
)

// builtIn are the two networks that are none: clients expect them in a list.
func builtIn() []*network.Network {
	var all []*network.Network
	for name, driver := range map[string]string{hostNetwork: "host", noNetwork: "null"} {
		all = append(all, &network.Network{Name: name, ID: madeID("network", name), Driver: driver})
	}
	return all
}

// madeID is an id for what has none here: always the same for the same thing.
func madeID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// endpointID is the id of a container's place on a network.
func endpointID(container, networkID string) string { return madeID("endpoint", container, networkID) }

// networkListFilters are Docker's.
var networkListFilters = []string{"dangling", "driver", "id", "label", "name", "scope", "type"}

func (s *Server) networkList(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, networkListFilters...)
	}
	if err != nil {
		return err
	}
	all, err := s.engine.NetworkList(r.Context(), filters)
	if err != nil {
		return err
	}
	match, err := s.engine.NetworkMatch(filters)
	if err != nil {
		return err
	}
	list := []apinet.Inspect{}
	for _, n := range all {
		doc := networkDoc(n)
		doc.Containers = map[string]apinet.EndpointResource{} // inspect tells them
		list = append(list, doc)
	}
	for _, n := range builtIn() {
		if match(n) {
			list = append(list, networkDoc(n))
		}
	}
	return w.json(http.StatusOK, list)
}

// network finds a network by name, id, or the beginning of an id.
func (s *Server) network(ctx context.Context, name string) (*network.Network, error) {
	n, err := s.engine.NetworkInspect(ctx, name)
	if err == nil || !errors.Is(err, errdefs.ErrNotFound) {
		return n, err
	}
	for _, b := range builtIn() {
		if b.Name == name || len(name) >= 12 && strings.HasPrefix(b.ID, name) {
			return b, nil
		}
	}
	return nil, fail(http.StatusNotFound, "network %s not found", name)
}

func (s *Server) networkInspect(w *response, r *request) error {
	if scope := r.param("scope"); scope != "" && scope != "local" {
		return fail(http.StatusNotFound, "network %s not found", r.vars["name"])
	}
	n, err := s.network(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, networkDoc(n))
}

// networkDoc is a network in Docker's words.
func networkDoc(n *network.Network) apinet.Inspect {
	doc := apinet.Inspect{Containers: map[string]apinet.EndpointResource{}}
	doc.Name, doc.ID, doc.Created, doc.Scope, doc.Driver = n.Name, n.ID, n.Created, "local", n.Driver
	doc.Internal, doc.EnableIPv6, doc.Options, doc.Labels = n.Internal, n.IPv6, orEmpty(n.Options), orEmpty(n.Labels)
	doc.IPAM = apinet.IPAM{Driver: "default", Config: []apinet.IPAMConfig{}}
	for _, subnet := range n.Subnets {
		doc.EnableIPv4 = doc.EnableIPv4 || subnet.Subnet.Addr().Is4()
		doc.EnableIPv6 = doc.EnableIPv6 || subnet.Subnet.Addr().Is6()
		c := apinet.IPAMConfig{Subnet: subnet.Subnet, Gateway: subnet.Gateway}
		if subnet.RangeStart.IsValid() {
			c.IPRange = spanning(subnet.RangeStart, subnet.RangeEnd)
		}
		doc.IPAM.Config = append(doc.IPAM.Config, c)
	}
	for id, m := range n.Containers {
		end := apinet.EndpointResource{Name: m.Name, EndpointID: endpointID(id, n.ID)}
		end.MacAddress.UnmarshalText([]byte(m.MAC)) // empty if there is none
		for _, ip := range m.IPs {
			if ip.Addr().Is4() && !end.IPv4Address.IsValid() {
				end.IPv4Address = ip
			} else if ip.Addr().Is6() && !end.IPv6Address.IsValid() {
				end.IPv6Address = ip
			}
		}
		doc.Containers[id] = end
	}
	return doc
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// spanning is the smallest range in slash notation that holds both addresses.
func spanning(first, last netip.Addr) netip.Prefix {
	for bits := first.BitLen(); bits > 0; bits-- {
		if p := netip.PrefixFrom(first, bits).Masked(); p.Contains(last) {
			return p
		}
	}
	return netip.Prefix{}
}

func (s *Server) networkCreate(w *response, r *request) error {
	var body apinet.CreateRequest
	if err := r.decode(w, &body); err != nil {
		return err
	}
	opts, err := createOptions(&body)
	if err != nil {
		return err
	}
	n, err := s.engine.NetworkCreate(r.work(), opts)
	if errors.Is(err, errdefs.ErrNameInUse) {
		return fail(http.StatusConflict, "network with name %s already exists", body.Name)
	} else if err != nil {
		return err
	}
	return w.json(http.StatusCreated, apinet.CreateResponse{ID: n.ID})
}

// createOptions turns a request into what the engine takes; what it does not have is refused by name.
func createOptions(body *apinet.CreateRequest) (network.CreateOptions, error) {
	o := network.CreateOptions{Name: body.Name, Driver: body.Driver, Internal: body.Internal, Labels: body.Labels, Options: body.Options}
	switch {
	case network.BuiltIn(body.Name):
		return o, fail(http.StatusForbidden, "operation is not permitted on predefined %s network", body.Name)
	case body.Scope != "" && body.Scope != "local", body.Driver == "overlay", body.Ingress:
		return o, errNoManager()
	case body.ConfigOnly:
		return o, unsupported("ConfigOnly", "a network is made with its whole configuration")
	case body.ConfigFrom != nil && body.ConfigFrom.Network != "":
		return o, unsupported("ConfigFrom", "a network is made with its whole configuration")
	case body.EnableIPv4 != nil && !*body.EnableIPv4:
		return o, unsupported("EnableIPv4=false", "a network has IPv4 addresses unless all subnets that are given are of IPv6")
	}
	o.IPv6 = body.EnableIPv6 != nil && *body.EnableIPv6
	if body.IPAM == nil {
		return o, nil
	}
	return o, addresses(&o, body.IPAM)
}

func addresses(o *network.CreateOptions, ipam *apinet.IPAM) error {
	switch ipam.Driver {
	case "", "default":
	case "dhcp", "host-local", "none":
		o.IPAM = ipam.Driver
	default:
		return unsupported("IPAM.Driver "+ipam.Driver, "default is there; host-local, dhcp and none for macvlan and ipvlan")
	}
	for key := range ipam.Options {
		return unsupported("IPAM.Options."+key, "address management has no options")
	}
	for _, c := range ipam.Config {
		if len(c.AuxAddress) > 0 {
			return unsupported("IPAM.Config.AuxiliaryAddresses", "keep addresses free with IPRange instead")
		}
		if c.Subnet.IsValid() {
			o.Subnets = append(o.Subnets, c.Subnet)
		}
		if c.IPRange.IsValid() {
			o.Ranges = append(o.Ranges, c.IPRange)
		}
		if c.Gateway.IsValid() {
			o.Gateways = append(o.Gateways, c.Gateway)
		}
	}
	return nil
}

func (s *Server) networkRemove(w *response, r *request) error {
	n, err := s.network(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	if network.BuiltIn(n.Name) {
		return fail(http.StatusForbidden, "%s is a pre-defined network and cannot be removed", n.Name)
	}
	if err := s.engine.NetworkRemove(r.work(), n.Name, libpod.NetworkRemoveOptions{}); errors.Is(err, errdefs.ErrInUse) {
		return fail(http.StatusForbidden, "error while removing network: %v", err)
	} else if err != nil {
		return err
	}
	return w.empty(http.StatusNoContent)
}

func (s *Server) networkPrune(w *response, r *request) error {
	filters, err := r.filters()
	if err == nil {
		err = known(filters, "until", "label", "label!")
	}
	if err != nil {
		return err
	}
	removed, err := s.engine.NetworkPrune(r.work(), filters)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, apinet.PruneReport{NetworksDeleted: removed})
}

func (s *Server) networkConnect(w *response, r *request) error {
	var body apinet.ConnectRequest
	if err := r.decode(w, &body); err != nil {
		return err
	}
	n, err := s.network(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	if n.Name == hostNetwork || n.Name == noNetwork {
		return fail(http.StatusForbidden, "container cannot be connected to %s network", n.Name)
	}
	wish, err := endpointWish(n.Name, body.EndpointConfig)
	if err != nil {
		return err
	}
	if err := s.engine.NetworkConnect(r.work(), body.Container, wish); errors.Is(err, errdefs.ErrNotFound) {
		return noSuch("container", body.Container)
	} else if err != nil {
		return err
	}
	return w.empty(http.StatusOK)
}

// Options of an endpoint that have a counterpart.
const optionInterface = "com.docker.network.endpoint.ifname"

// endpointWish is what a client wants of a container's place on a network; what wherry does not have is refused by name.
func endpointWish(name string, e *apinet.EndpointSettings) (network.Wish, error) {
	wish := network.Wish{Network: name}
	if e == nil {
		return wish, nil
	}
	wish.Aliases, wish.MAC = e.Aliases, e.MacAddress.String()
	if ipam := e.IPAMConfig; ipam != nil {
		for _, ip := range []netip.Addr{ipam.IPv4Address, ipam.IPv6Address} {
			if ip.IsValid() {
				wish.IPs = append(wish.IPs, ip.String())
			}
		}
		if len(ipam.LinkLocalIPs) > 0 {
			return wish, unsupported("LinkLocalIPs", "addresses are of the network's subnets")
		}
	}
	for key, value := range e.DriverOpts {
		if key != optionInterface {
			return wish, unsupported("DriverOpts "+key, optionInterface+" is there")
		}
		wish.Interface = value
	}
	switch {
	case len(e.Links) > 0:
		return wish, unsupported("Links", "give the other container an alias on this network")
	case e.GwPriority != 0:
		return wish, unsupported("GwPriority", "the first network has the way out")
	}
	return wish, nil
}

func (s *Server) networkDisconnect(w *response, r *request) error {
	var body apinet.DisconnectRequest
	if err := r.decode(w, &body); err != nil {
		return err
	}
	n, err := s.network(r.Context(), r.vars["name"])
	if err != nil {
		return err
	}
	if err := s.engine.NetworkDisconnect(r.work(), body.Container, n.Name, body.Force); errors.Is(err, errdefs.ErrNotFound) {
		return noSuch("container", body.Container)
	} else if err != nil {
		return err
	}
	return w.empty(http.StatusOK)
}
