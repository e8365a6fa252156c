package libpod

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// InspectNamespaces are the fields of HostConfig about namespaces.
type InspectNamespaces struct {
	IpcMode     string
	PidMode     string
	UTSMode     string
	UsernsMode  string
	IDMappings  *InspectIDMappings `json:",omitempty"`
	Sysctls     map[string]string
	Annotations map[string]string `json:",omitempty"`
}

// InspectIDMappings is the mapping of a user namespace, each line as inside:outside:size.
type InspectIDMappings struct{ UidMap, GidMap []string }

func inspectNamespaces(c *container) InspectNamespaces {
	n := c.Namespaces
	doc := InspectNamespaces{IpcMode: firstOf(n.IPC, "shareable"), PidMode: firstOf(n.PID, "private"), UTSMode: firstOf(n.UTS, "private"),
		UsernsMode: c.Security.UserNS, Sysctls: n.Sysctls, Annotations: c.Notes}
	if doc.Sysctls == nil {
		doc.Sysctls = map[string]string{}
	}
	if len(n.UIDMap) > 0 {
		doc.IDMappings = &InspectIDMappings{mapLines(n.UIDMap), mapLines(n.GIDMap)}
	}
	return doc
}

func mapLines(m []specs.LinuxIDMapping) []string {
	var lines []string
	for _, e := range m {
		lines = append(lines, fmt.Sprintf("%d:%d:%d", e.ContainerID, e.HostID, e.Size))
	}
	return lines
}
