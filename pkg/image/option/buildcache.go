package option

import "github.com/wherry-containers/wherry/pkg/buildcache"

// PruneBuild is the options of builder prune.
type PruneBuild struct {
	buildcache.PruneOptions
	Force   bool
	Verbose bool
	Raw     bool // for another program
}
