package system

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

type apiNetwork struct {
	Name   string
	ID     string `json:"Id"`
	Driver string
	Scope  string
	Labels map[string]string
	IPAM   struct {
		Driver string
		Config []struct{ Subnet, Gateway, IPRange string }
	}
	Internal   bool
	Containers map[string]struct{ Name, EndpointID, MacAddress, IPv4Address string }
}

// A network is made, used, changed and removed.
func TestAPINetworkLife(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	t.Cleanup(func() { shared.Try(t, "network", "rm", "-f", "api-net") })
	var made struct{ ID string }
	api.must(http.StatusCreated, &made, "POST", "/networks/create", map[string]any{"Name": "api-net", "Labels": map[string]string{"a": "b"},
		"IPAM": map[string]any{"Config": []any{map[string]string{"Subnet": "10.93.7.0/24", "Gateway": "10.93.7.9", "IPRange": "10.93.7.128/25"}}}})
	cid := shared.Must(t, "run", "-d", "--name", shared.Name(t), testkit.Image, "sleep", "1000")
	api.must(http.StatusOK, nil, "POST", "/networks/"+made.ID[:12]+"/connect", map[string]any{"Container": cid,
		"EndpointConfig": map[string]any{"Aliases": []string{"other"}, "IPAMConfig": map[string]string{"IPv4Address": "10.93.7.200"}}})
	var n apiNetwork
	api.must(http.StatusOK, &n, "GET", "/networks/api-net", nil)
	end := n.Containers[cid]
	if n.ID != made.ID || n.Driver != "bridge" || n.Scope != "local" || n.Labels["a"] != "b" || len(n.IPAM.Config) != 1 ||
		n.IPAM.Config[0].Subnet != "10.93.7.0/24" || n.IPAM.Config[0].Gateway != "10.93.7.9" || n.IPAM.Config[0].IPRange != "10.93.7.128/25" ||
		end.IPv4Address != "10.93.7.200/24" || end.MacAddress == "" || len(end.EndpointID) != 64 {
		t.Errorf("network %+v", n)
	}
	if out := shared.Must(t, "exec", cid, "ip", "-o", "-4", "addr"); !strings.Contains(out, "10.93.7.200/24") {
		t.Errorf("addresses in the container: %s", out)
	}
	api.refused(http.StatusForbidden, "in use", "DELETE", "/networks/api-net", nil)
	api.refused(http.StatusConflict, "network with name api-net already exists", "POST", "/networks/create", map[string]string{"Name": "api-net"})
	api.must(http.StatusOK, nil, "POST", "/networks/api-net/disconnect", map[string]any{"Container": cid})
	if out := shared.Must(t, "exec", cid, "ip", "-o", "-4", "addr"); strings.Contains(out, "10.93.7.") {
		t.Errorf("addresses after the disconnect: %s", out)
	}
	api.must(http.StatusNoContent, nil, "DELETE", "/networks/api-net", nil)
	api.refused(http.StatusNotFound, "network api-net not found", "GET", "/networks/api-net", nil)
}

// The three that are always there are in the list, under Docker's names, and stay.
func TestAPINetworksBuiltIn(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	var all []apiNetwork
	api.must(http.StatusOK, &all, "GET", `/networks?filters={"type":["builtin"]}`, nil)
	drivers := map[string]string{}
	for _, n := range all {
		drivers[n.Name] = n.Driver
		if n.Containers == nil || len(n.ID) != 64 {
			t.Errorf("network %+v", n)
		}
	}
	if len(all) != 3 || drivers["bridge"] != "bridge" || drivers["host"] != "host" || drivers["none"] != "null" {
		t.Errorf("built in: %v", drivers)
	}
	for name := range drivers {
		api.refused(http.StatusForbidden, "pre-defined network and cannot be removed", "DELETE", "/networks/"+name, nil)
		api.refused(http.StatusForbidden, "operation is not permitted on predefined", "POST", "/networks/create", map[string]string{"Name": name})
	}
}

// What networks are pruned, and what is told of it.
func TestAPINetworkPrune(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	api.must(http.StatusCreated, nil, "POST", "/networks/create", map[string]any{"Name": "api-prune", "Labels": map[string]string{"prune": "api"}})
	var report struct{ NetworksDeleted []string }
	api.must(http.StatusOK, &report, "POST", `/networks/prune?filters={"label":["prune=api"]}`, nil)
	if len(report.NetworksDeleted) != 1 || report.NetworksDeleted[0] != "api-prune" {
		t.Errorf("pruned %+v", report)
	}
}

// What wherry does not have is refused by name, and no name leads out of the directory of networks.
func TestAPINetworksBadInput(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	for text, c := range map[string]struct {
		status int
		body   any
	}{
		"invalid network name":                   {400, map[string]any{"Name": "../../escaped"}},
		"invalid network name \"\"":              {400, map[string]any{}},
		"AuxiliaryAddresses":                     {400, map[string]any{"Name": "n", "IPAM": map[string]any{"Config": []any{map[string]any{"Subnet": "10.1.2.0/24", "AuxiliaryAddresses": map[string]string{"a": "10.1.2.3"}}}}}},
		"IPAM.Driver":                            {400, map[string]any{"Name": "n", "IPAM": map[string]any{"Driver": "mine"}}},
		"IPAM.Options.x":                         {400, map[string]any{"Name": "n", "IPAM": map[string]any{"Options": map[string]string{"x": "y"}}}},
		"ConfigOnly":                             {400, map[string]any{"Name": "n", "ConfigOnly": true}},
		"ConfigFrom":                             {400, map[string]any{"Name": "n", "ConfigFrom": map[string]string{"Network": "m"}}},
		"not a swarm manager":                    {503, map[string]any{"Name": "n", "Driver": "overlay"}},
		"not known to the driver bridge":         {501, map[string]any{"Name": "n", "Options": map[string]string{"some.option": "1"}}},
		"there is no network driver \"special\"": {501, map[string]any{"Name": "n", "Driver": "special"}},
		"has host bits set":                      {400, map[string]any{"Name": "n", "IPAM": map[string]any{"Config": []any{map[string]string{"Subnet": "10.1.2.3/24"}}}}},
		"invalid JSON":                           {400, `{"Name": "n", "IPAM": {"Config": [{"Subnet": "everything"}]}}`},
	} {
		api.refused(c.status, text, "POST", "/networks/create", c.body)
	}
	api.refused(http.StatusBadRequest, "invalid filter 'colour'", "GET", `/networks?filters={"colour":["red"]}`, nil)
	api.refused(http.StatusNotFound, "No such container: nobody", "POST", "/networks/bridge/connect", map[string]any{"Container": "nobody"})
	api.refused(http.StatusBadRequest, "Links", "POST", "/networks/bridge/connect", map[string]any{"Container": "x", "EndpointConfig": map[string]any{"Links": []string{"a"}}})
	api.refused(http.StatusBadRequest, "LinkLocalIPs", "POST", "/networks/bridge/connect",
		map[string]any{"Container": "x", "EndpointConfig": map[string]any{"IPAMConfig": map[string]any{"LinkLocalIPs": []string{"169.254.1.1"}}}})
	api.refused(http.StatusForbidden, "host network", "POST", "/networks/host/connect", map[string]any{"Container": "x"})
}

// A volume is made, used and removed; force removes no container.
func TestAPIVolumeLife(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	name := "api-volume"
	t.Cleanup(func() { shared.Try(t, "volume", "rm", "-f", name) })
	var v struct {
		Name, Driver, Mountpoint, Scope string
		Labels                          map[string]string
	}
	api.must(http.StatusCreated, &v, "POST", "/volumes/create", map[string]any{"Name": name, "Labels": map[string]string{"prune": "volume"}})
	if v.Name != name || v.Driver != "local" || v.Scope != "local" || v.Labels["prune"] != "volume" || !strings.HasSuffix(v.Mountpoint, name+"/_data") {
		t.Errorf("volume %+v", v)
	}
	cid := shared.Must(t, "create", "--name", shared.Name(t), "-v", name+":/v", testkit.Image)
	api.refused(http.StatusConflict, "volume is in use", "DELETE", "/volumes/"+name+"?force=1", nil)
	shared.Must(t, "container", "exists", cid)
	shared.Must(t, "rm", cid)
	var report struct{ VolumesDeleted []string }
	api.must(http.StatusOK, &report, "POST", `/volumes/prune?filters={"label":["prune=volume"]}`, nil)
	if len(report.VolumesDeleted) != 0 {
		t.Errorf("a named volume was pruned without all: %+v", report)
	}
	api.must(http.StatusOK, &report, "POST", `/volumes/prune?filters={"label":["prune=volume"],"all":["true"]}`, nil)
	if len(report.VolumesDeleted) != 1 || report.VolumesDeleted[0] != name {
		t.Errorf("pruned: %+v", report)
	}
	api.refused(http.StatusNotFound, "no such volume", "GET", "/volumes/"+name, nil)
	api.refused(http.StatusNotFound, "no such volume", "DELETE", "/volumes/"+name, nil)
	api.must(http.StatusNoContent, nil, "DELETE", "/volumes/"+name+"?force=1", nil)
	var nameless struct {
		Name   string
		Labels map[string]string
	}
	api.must(http.StatusCreated, &nameless, "POST", "/volumes/create", nil)
	if _, marked := nameless.Labels["com.docker.volume.anonymous"]; len(nameless.Name) != 64 || !marked {
		t.Errorf("anonymous volume %+v", nameless)
	}
	api.must(http.StatusNoContent, nil, "DELETE", "/volumes/"+nameless.Name, nil)
	api.refused(http.StatusNotImplemented, "volume driver", "POST", "/volumes/create", map[string]string{"Name": "x", "Driver": "nfs"})
	api.refused(http.StatusBadRequest, "invalid volume name", "POST", "/volumes/create", map[string]string{"Name": "../x"})
	api.refused(http.StatusServiceUnavailable, "not a swarm manager", "POST", "/volumes/create", map[string]any{"Name": "x", "ClusterVolumeSpec": map[string]any{}})
	api.refused(http.StatusBadRequest, "invalid filter", "GET", `/volumes?filters={"x":["y"]}`, nil)
}

// A docker that is not part of a swarm, and has no plugins, says so.
func TestAPISwarmAndPlugins(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	for _, c := range []struct {
		status             int
		method, path, text string
	}{
		{503, "GET", "/swarm", "This node is not a swarm manager"},
		{503, "GET", "/nodes", "This node is not a swarm manager"},
		{503, "GET", "/services", "This node is not a swarm manager"},
		{503, "GET", "/tasks/x", "This node is not a swarm manager"},
		{503, "POST", "/secrets/create", "This node is not a swarm manager"},
		{503, "DELETE", "/configs/x", "This node is not a swarm manager"},
		{503, "POST", "/swarm/leave", "This node is not part of a swarm"},
		{501, "POST", "/swarm/init", "no swarm mode"},
		{404, "GET", "/plugins/a/b:latest/json", `plugin "a/b:latest" not found`},
		{404, "POST", "/plugins/x/enable", `plugin "x" not found`},
		{501, "POST", "/plugins/pull", "no plugins"},
	} {
		api.refused(c.status, c.text, c.method, c.path, nil)
	}
	if _, data := api.do("GET", "/plugins", nil); strings.TrimSpace(string(data)) != "[]" {
		t.Errorf("plugins: %s", data)
	}
}

// What takes room is added up, one kind or all.
func TestAPIDiskUsage(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	shared.Must(t, "create", "--name", shared.Name(t), testkit.Image)
	var doc map[string]json.RawMessage
	api.must(http.StatusOK, &doc, "GET", "/system/df", nil)
	var images []struct{ Size, SharedSize, Containers int64 }
	json.Unmarshal(doc["Images"], &images)
	used := int64(0)
	for _, i := range images {
		used += max(i.Containers, 0)
	}
	if len(images) == 0 || used == 0 || images[0].SharedSize < 0 || string(doc["BuildCache"]) == "null" || string(doc["Volumes"]) == "null" {
		t.Errorf("usage %s", doc)
	}
	api.must(http.StatusOK, &doc, "GET", "/system/df?type=volume", nil)
	if string(doc["Images"]) != "null" {
		t.Errorf("usage of volumes alone: %s", doc)
	}
	api.refused(http.StatusBadRequest, "unknown object type: everything", "GET", "/system/df?type=everything", nil)
	var pruned struct{ CachesDeleted []string }
	api.must(http.StatusOK, &pruned, "POST", `/build/prune?filters={"id":["none-such"]}`, nil)
	api.refused(http.StatusBadRequest, "invalid filter 'x'", "POST", `/build/prune?filters={"x":["none"]}`, nil)
}
