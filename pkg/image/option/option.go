// Package option holds the options of the image commands, apart from the code that carries them out, so that the
// front can list every flag without linking the image libraries. A zero value is the default.
package option

import (
	"time"

	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Retry says how often a transfer is tried again after a fault of the network.
type Retry struct {
	Max   int           // further attempts; 0: none
	Delay time.Duration // before the first of them, doubled each time; 0: one second
}

// Platform chooses one image of an index. Empty fields: this machine's.
type Platform struct {
	OS, Arch, Variant string
}

// Given says whether the user asked for a platform.
func (p Platform) Given() bool { return p != Platform{} }

// Pull policies.
const (
	PullAlways  = "always"
	PullMissing = "missing"
	PullNever   = "never"
	PullNewer   = "newer"
)

// Pull is the options of pull.
type Pull struct {
	access.Options
	Retry
	Platform
	Policy         string // one of the policies; empty: always
	AllTags        bool
	Quiet          bool
	DecryptionKeys []string // FILE[:PASSPHRASE]
}

// Push is the options of push.
type Push struct {
	access.Options
	Retry
	AllTags           bool
	Quiet             bool
	DigestFile        string
	Format            string // oci, v2s2; empty: as the image is
	CompressionFormat string // gzip, zstd, zstd:chunked; empty: as the image is
	CompressionLevel  *int
	ForceCompression  bool
	RemoveSignatures  bool
	EncryptionKeys    []string // PROTOCOL:KEY
	EncryptLayers     []int    // from 0 at the bottom, negative from the top; none: all
}

// Load is the options of load.
type Load struct {
	Input string // path; empty: standard input
	Quiet bool
}

// Save is the options of save.
type Save struct {
	Output   string // path; empty: standard output
	Format   string // docker-archive, oci-archive, oci-dir, docker-dir; empty: docker-archive
	Compress bool   // docker-dir only
	Quiet    bool
}

// Import is the options of import.
type Import struct {
	Changes []string // Dockerfile instructions that set the image's configuration
	Message string
	Quiet   bool
	Platform
}

// Remove is the options of rmi.
type Remove struct {
	Force   bool
	Ignore  bool // an image that is not there is no error
	All     bool
	NoPrune bool // keep untagged parents
}

// Prune is the options of image prune.
type Prune struct {
	All     bool // every image without a container, not only those without a name
	Force   bool // do not ask
	Layers  bool // only layers that belong to no image
	Raw     bool // print "deleted ID" lines and "reclaimed BYTES" for another program
	Filters []string
}

// Search is the options of search.
type Search struct {
	access.Options
	Limit    int // 0: 25
	Filters  []string
	ListTags bool
	NoTrunc  bool
}

// Login is the options of login and logout.
type Login struct {
	access.Options
	Username      string
	Password      string
	PasswordStdin bool
	GetLogin      bool
	All           bool // logout: of every registry
}

// Commit is the options of commit.
type Commit struct {
	Author         string
	Changes        []string // Dockerfile instructions that set the image's configuration
	Config         string   // file with a configuration to merge, or JSON itself
	Format         string   // oci, docker; empty: oci
	IIDFile        string   // where to write the image's id
	IncludeVolumes bool     // declare the container's volumes
	Message        string
	Pause          bool
	Quiet          bool
	Squash         bool // one layer with all files
}
