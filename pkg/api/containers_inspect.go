package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// inspectDoc is the engine's document, which has Docker's form, with what only the API says.
type inspectDoc struct {
	*libpod.Inspect
	HostConfig      hostDoc
	NetworkSettings networkDocs
	ExecIDs         []string
}

// hostDoc writes the usual modes as Docker does: not at all.
type hostDoc struct {
	*libpod.InspectHostConfig
	PidMode string
	UTSMode string
}

// networkDocs has the ends of networks with all that clients look for.
type networkDocs struct {
	*libpod.InspectNetworkSettings
	SandboxID string
	Networks  map[string]endDoc
	// What follows is of the first network; versions before 1.52 have it.
	Bridge              string
	EndpointID          string
	GlobalIPv6PrefixLen int
}

type endDoc struct {
	libpod.InspectNetwork
	IPAMConfig *ipamDoc
	Links      []string
	DriverOpts map[string]string
	GwPriority int
	DNSNames   []string
}

// ipamDoc is what was asked for of the addresses.
type ipamDoc struct {
	IPv4Address string `json:",omitempty"`
	IPv6Address string `json:",omitempty"`
}

func (s *Server) containerInspect(w *response, r *request) error {
	id, err := s.container(r)
	if err != nil {
		return err
	}
	doc, err := s.engine.Inspect(r.Context(), id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return noSuch("container", r.vars["id"])
	} else if err != nil {
		return err
	}
	if r.flag("size") {
		s.engine.InspectSize(r.Context(), doc)
	}
	return w.json(http.StatusOK, s.inspectDoc(r, doc))
}

func (s *Server) inspectDoc(r *request, doc *libpod.Inspect) inspectDoc {
	out := inspectDoc{Inspect: doc, HostConfig: hostDoc{InspectHostConfig: &doc.HostConfig, PidMode: doc.HostConfig.PidMode, UTSMode: doc.HostConfig.UTSMode}, ExecIDs: s.execs.of(doc.ID)}
	for _, mode := range []*string{&out.HostConfig.PidMode, &out.HostConfig.UTSMode} {
		if *mode == "private" {
			*mode = ""
		}
	}
	n := networkDocs{InspectNetworkSettings: &doc.NetworkSettings, Networks: map[string]endDoc{}}
	if doc.State.Running {
		n.SandboxID = madeID("sandbox", doc.ID)
	}
	for name, end := range doc.NetworkSettings.Networks {
		if strings.Contains(name, ":") { // the namespace of another
			continue
		}
		e := endDoc{InspectNetwork: end}
		if e.NetworkID == "" {
			e.NetworkID = s.networkID(r.Context(), name)
		}
		if doc.State.Running {
			e.EndpointID = endpointID(doc.ID, e.NetworkID)
		}
		if end.IPAddress != "" || len(end.Aliases) > 0 {
			e.DNSNames = append([]string{strings.TrimPrefix(doc.Name, "/")}, end.Aliases...)
			e.DNSNames = append(e.DNSNames, doc.ID[:12])
		}
		n.Networks[name] = e
	}
	if first, ok := n.Networks[doc.HostConfig.NetworkMode]; ok {
		n.EndpointID, n.GlobalIPv6PrefixLen = first.EndpointID, first.GlobalIPv6PrefixLen
	}
	out.NetworkSettings = n
	return out
}
