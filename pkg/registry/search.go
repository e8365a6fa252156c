package registry

import (
	"context"
	"fmt"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/types"
)

// Result is one line of a search.
type Result struct {
	Index       string // the registry
	Name        string // HOST/NAME
	Description string
	Stars       int
	Official    bool
	Automated   bool
}

// Tags lists the tags of a repository.
func Tags(ctx context.Context, sys *types.SystemContext, repo reference.Named) ([]string, error) {
	ref, err := docker.NewReference(reference.TagNameOnly(repo))
	if err != nil {
		return nil, err
	}
	tags, err := docker.GetRepositoryTags(ctx, sys, ref)
	return tags, Explain("list the tags of", err, Place{Host: reference.Domain(repo), Repo: reference.Path(repo)})
}

// Search asks a registry for repositories whose name or description holds term: Docker Hub's index, else the
// catalog of the registry.
func Search(ctx context.Context, sys *types.SystemContext, host, term string, limit int) ([]Result, error) {
	found, err := docker.SearchRegistry(ctx, sys, host, term, limit)
	if err != nil {
		return nil, Explain("search", err, Place{Host: host})
	}
	if len(found) > limit {
		found = found[:limit]
	}
	out := make([]Result, 0, len(found))
	for _, f := range found {
		name := f.Name
		if host != DefaultHost {
			name = fmt.Sprintf("%s/%s", host, f.Name)
		}
		out = append(out, Result{Index: host, Name: name, Description: f.Description, Stars: f.StarCount,
			Official: f.IsOfficial, Automated: f.IsAutomated})
	}
	return out, nil
}
