// Package option holds the options of the build commands, apart from the code that carries them out, so that the front
// can list every flag without linking BuildKit. A zero value is the default; texts are as the user wrote them.
package option

import (
	"time"

	imageoption "github.com/wherry-containers/wherry/pkg/image/option"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// Build is the options of build.
type Build struct {
	Context       string            // directory, URL, - for standard input; empty: no context
	Files         []string          // Dockerfiles; - for standard input. Several are put together
	Contexts      map[string]string // further contexts by name
	IgnoreFile    string            // instead of .dockerignore
	Target        string
	Args          []string // NAME=value, or NAME for that of the environment
	ArgFiles      []string
	Platforms     []string
	NoCache       bool
	NoCacheFilter []string // stages
	Pull          string   // always, missing, never, newer; empty: missing
	Allow         []string // entitlements
	Jobs          int      // steps at a time; 0: the number of processors
	Call          string   // check, outline, targets; empty: build

	Access   Access
	Registry Registry
	Steps    Steps
	Result   Result
	Display  Display
}

// Access is what steps may use of the user's.
type Access struct {
	Secrets []string // id=...[,src=FILE|env=NAME]
	SSH     []string // ID[=SOCKET|KEY[,KEY]]
}

// Registry is how registries are asked for base images, and images are pushed to them.
type Registry struct {
	access.Options
	Retry *imageoption.Retry // nil: transfers that break off are tried again, what cannot be reached at all is not
}

// Steps is how the commands of RUN are executed.
type Steps struct {
	Network      string
	Hosts        []string // NAME:ADDRESS
	DNS          []string
	DNSSearch    []string
	DNSOptions   []string
	Ulimits      []string
	ShmSize      int64
	CgroupParent string
	Resources    map[string]string // by the names of BuildKit's frontend
	Runtime      string
	NoProxy      bool // the user's proxies are not those of the steps
}

// Result is what becomes of the image.
type Result struct {
	Tags        []string
	Labels      []string
	Annotations []string
	Outputs     []string
	Push, Load  bool
	Manifest    string // list in the store that the images are added to
	CacheFrom   []string
	CacheTo     []string
	Attests     []string
	Format      string // oci, docker
	Compression string
	Squash      bool   // one layer for what the Dockerfile adds
	SquashAll   bool   // one layer for everything
	Epoch       *int64 // seconds since 1970: no time in the result is later
	Rewrite     bool   // also those of files
	IIDFile     string
	Metadata    string // file
}

// Display is what the user sees.
type Display struct {
	Progress string // auto, plain, tty, rawjson, quiet, none
	Quiet    bool
	LogFile  string
}

// BuildKit is the options of buildkit.
type BuildKit struct {
	Addresses []string // unix:///PATH, fd://3
	Jobs      int
	Idle      time.Duration // ends after so long without a connection; 0: never
}
