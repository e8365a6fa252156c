package option

import "github.com/wherry-containers/wherry/pkg/registry/access"

// Instance is what an entry of a manifest list says of its image. What is empty stays as it is.
type Instance struct {
	Platform
	OSVersion   string
	Features    []string
	OSFeatures  []string
	Annotations []string // KEY=VALUE
}

// ManifestCreate is the options of manifest create.
type ManifestCreate struct {
	access.Options
	All         bool // of a list among the images all entries, not only this machine's
	Amend       bool // a list that is there already gets more entries
	Annotations []string
}

// ManifestAdd is the options of manifest add.
type ManifestAdd struct {
	access.Options
	Instance
	All      bool
	Artifact Artifact
}

// Artifact says how files become an artifact in a manifest list.
type Artifact struct {
	Wanted        bool
	Type          string
	Config        string // file
	ConfigType    string
	LayerType     string
	ExcludeTitles bool
	Subject       string
}

// ManifestAnnotate is the options of manifest annotate.
type ManifestAnnotate struct {
	Instance
	Index   bool // annotate the list itself
	Subject string
}

// ManifestPush is the options of manifest push.
type ManifestPush struct {
	Push
	All            bool
	Remove         bool     // the list, once it is pushed
	AddCompression []string // further entries with these compressions
}
