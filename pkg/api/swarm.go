package api

import (
	"net/http"
	"slices"

	"github.com/moby/moby/api/types/plugin"
)

// errNoManager is what a docker says that is not part of a swarm.
func errNoManager() error {
	return fail(http.StatusServiceUnavailable, `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
}

// swarmRoutes answer as a docker does that is not part of a swarm.
func swarmRoutes() []route {
	manager := func(*Server, *response, *request) error { return errNoManager() }
	member := func(*Server, *response, *request) error {
		return fail(http.StatusServiceUnavailable, "This node is not part of a swarm")
	}
	later := func(*Server, *response, *request) error {
		return fail(http.StatusNotImplemented, "wherry has no swarm mode: a swarm can be neither made nor joined")
	}
	routes := []route{
		{method: http.MethodGet, pattern: "/swarm", handle: manager},
		{method: http.MethodGet, pattern: "/swarm/unlockkey", handle: manager},
		{method: http.MethodPost, pattern: "/swarm/init", handle: later},
		{method: http.MethodPost, pattern: "/swarm/join", handle: later},
		{method: http.MethodPost, pattern: "/swarm/leave", handle: member},
		{method: http.MethodPost, pattern: "/swarm/unlock", handle: member},
		{method: http.MethodPost, pattern: "/swarm/update", handle: manager},
		{method: http.MethodPost, pattern: "/nodes/{id}/update", handle: manager},
		{method: http.MethodGet, pattern: "/services/{id}/logs", handle: manager},
		{method: http.MethodGet, pattern: "/tasks/{id}/logs", handle: manager},
	}
	for _, noun := range []string{"nodes", "services", "tasks", "secrets", "configs"} {
		routes = append(routes,
			route{method: http.MethodGet, pattern: "/" + noun, handle: manager},
			route{method: http.MethodGet, pattern: "/" + noun + "/{id}", handle: manager},
			route{method: http.MethodDelete, pattern: "/" + noun + "/{id}", handle: manager})
	}
	for _, noun := range []string{"services", "secrets", "configs"} {
		routes = append(routes,
			route{method: http.MethodPost, pattern: "/" + noun + "/create", handle: manager},
			route{method: http.MethodPost, pattern: "/" + noun + "/{id}/update", handle: manager})
	}
	return slices.Concat(routes, pluginRoutes())
}

// pluginRoutes answer as a docker without plugins.
func pluginRoutes() []route {
	none := func(_ *Server, _ *response, r *request) error {
		return fail(http.StatusNotFound, "plugin %q not found", r.vars["name"])
	}
	never := func(*Server, *response, *request) error {
		return fail(http.StatusNotImplemented, "wherry has no plugins: none can be installed")
	}
	routes := []route{
		{method: http.MethodGet, pattern: "/plugins", handle: func(_ *Server, w *response, _ *request) error {
			return w.json(http.StatusOK, []plugin.Plugin{})
		}},
		{method: http.MethodGet, pattern: "/plugins/privileges", handle: never},
		{method: http.MethodPost, pattern: "/plugins/pull", handle: never},
		{method: http.MethodPost, pattern: "/plugins/create", handle: never},
		{method: http.MethodGet, pattern: "/plugins/{name...}/json", handle: none},
		{method: http.MethodDelete, pattern: "/plugins/{name...}", handle: none},
	}
	for _, verb := range []string{"enable", "disable", "set", "push", "upgrade"} {
		routes = append(routes, route{method: http.MethodPost, pattern: "/plugins/{name...}/" + verb, handle: none})
	}
	return routes
}
