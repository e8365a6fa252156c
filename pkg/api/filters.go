package api

import (
	"encoding/json"
	"maps"
	"slices"
)

// filters is the query's parameter of that name: {"label":["a=b"]}, or as older clients have it {"label":{"a=b":true}}.
func (r *request) filters() (map[string][]string, error) {
	return parseFilters(r.param("filters"))
}

func parseFilters(text string) (map[string][]string, error) {
	if text == "" {
		return nil, nil
	}
	var sets map[string]map[string]bool
	if json.Unmarshal([]byte(text), &sets) == nil {
		lists := make(map[string][]string, len(sets))
		for key, set := range sets {
			for _, value := range slices.Sorted(maps.Keys(set)) {
				if set[value] {
					lists[key] = append(lists[key], value)
				}
			}
		}
		return lists, nil
	}
	var lists map[string][]string
	if err := json.Unmarshal([]byte(text), &lists); err != nil {
		return nil, invalid("invalid filter: %v", err)
	}
	return lists, nil
}

// known refuses filters with keys that are not among those of a list, in Docker's words.
func known(filters map[string][]string, keys ...string) error {
	for key := range filters {
		if !slices.Contains(keys, key) {
			return invalid("invalid filter '%s'", key)
		}
	}
	return nil
}
