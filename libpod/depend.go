package libpod

import (
	"context"
	"slices"
)

// Dependents are the ids of the containers that are in a namespace of the one that ref names, those that depend on
// these before them.
func (e *Engine) Dependents(_ context.Context, ref string) ([]string, error) {
	id, err := e.resolve(ref)
	if err != nil {
		return nil, err
	}
	ids, err := e.containers.IDs()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for _, other := range ids {
		c, err := e.load(other)
		if err != nil {
			continue // it is broken, or gone by now
		}
		for _, on := range c.standsOn() {
			users[on] = append(users[on], other)
		}
	}
	var found []string
	var visit func(string)
	visit = func(on string) {
		for _, user := range users[on] {
			if user != id && !slices.Contains(found, user) {
				found = append(found, user)
				visit(user)
			}
		}
	}
	visit(id)
	slices.Reverse(found)
	return found, nil
}

// standsOn are the ids of the containers in whose namespaces this one is, and of those that it requires.
func (c *container) standsOn() []string {
	const prefix = "container:"
	ids := slices.Clone(c.Lifecycle.Requires)
	for _, mode := range []string{c.Namespaces.PID, c.Namespaces.IPC, c.Namespaces.UTS, c.Security.UserNS, c.Network.Mode, c.Cgroup.Namespace} {
		if len(mode) > len(prefix) && mode[:len(prefix)] == prefix {
			ids = append(ids, mode[len(prefix):])
		}
	}
	return ids
}
