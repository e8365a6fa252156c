package option

import "github.com/wherry-containers/wherry/pkg/registry/access"

// ImagetoolsCreate is the options of buildx imagetools create.
type ImagetoolsCreate struct {
	access.Options
	Tags        []string
	Files       []string // with sources: names, digests, descriptors as JSON
	Append      bool     // to what the first tag names
	DryRun      bool
	Annotations []string
	PreferIndex bool // also of a single source that is none
}

// ImagetoolsInspect is the options of buildx imagetools inspect.
type ImagetoolsInspect struct {
	access.Options
	Format string
	Raw    bool
}
