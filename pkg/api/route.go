package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// route is one line of the table.
type route struct {
	method string
	// pattern is a path; {name} stands for one part of it, {name...} for one or more.
	pattern string
	since   int // minor version of the API that has it; 0: all have
	handle  func(*Server, *response, *request) error
}

// routes is the one table of what the server answers, by nouns.
func routes() []route {
	return slices.Concat(
		systemRoutes(),
		containerRoutes(),
		execRoutes(),
		imageRoutes(),
		networkRoutes(),
		volumeRoutes(),
		eventRoutes(),
		buildRoutes(),
		usageRoutes(),
		swarmRoutes(),
	)
}

// compiled is a route whose pattern has been taken apart.
type compiled struct {
	route
	parts []string
}

func compile(table []route) []compiled {
	list := make([]compiled, len(table))
	for i, r := range table {
		list[i] = compiled{route: r, parts: strings.Split(strings.TrimPrefix(r.pattern, "/"), "/")}
	}
	return list
}

// match tells whether the route is meant by a path, and what its variables stand for.
func (c *compiled) match(method, path string) (map[string]string, bool) {
	if method != c.method && (method != http.MethodHead || c.method != http.MethodGet) {
		return nil, false
	}
	vars := map[string]string{}
	return vars, matchParts(c.parts, strings.Split(strings.TrimPrefix(path, "/"), "/"), vars)
}

func matchParts(pattern, parts []string, vars map[string]string) bool {
	for i, p := range pattern {
		name, variable := strings.CutPrefix(p, "{")
		name = strings.TrimSuffix(name, "}")
		name, many := strings.CutSuffix(name, "...")
		switch {
		case len(parts) <= i || variable && parts[i] == "":
			return false
		case many:
			rest := len(pattern) - i - 1
			end := len(parts) - rest // what follows in the pattern takes one part each
			if end <= i || !matchParts(pattern[i+1:], parts[end:], vars) {
				return false
			}
			vars[name] = strings.Join(parts[i:end], "/")
			return true
		case variable:
			vars[name] = parts[i]
		case parts[i] != p:
			return false
		}
	}
	return len(parts) == len(pattern)
}

// Minor versions of the API; all that is spoken begins with 1.
const (
	minVersion = 24
	maxVersion = 51
)

// parseVersion reads what follows /v in a path; ok is false where it is no version at all, as in /volumes.
func parseVersion(text string) (minor int, ok bool, err error) {
	major, rest, dotted := strings.Cut(text, ".")
	if major == "" || strings.Trim(major, "0123456789") != "" || strings.Trim(rest, "0123456789.") != "" {
		return 0, false, nil
	}
	minor, err = strconv.Atoi(rest)
	switch {
	case !dotted || err != nil || strings.Contains(rest, "."):
		return 0, false, fail(http.StatusBadRequest, "invalid API version %q (want one like v%s)", text, MaxVersion)
	case major != "1" && major != "0" || minor > maxVersion && major != "0":
		return 0, false, fail(http.StatusBadRequest, "client version %s is too new. Maximum supported API version is %s", text, MaxVersion)
	case major == "0" || minor < minVersion:
		return 0, false, fail(http.StatusBadRequest, "client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", text, MinVersion)
	}
	return minor, true, nil
}
