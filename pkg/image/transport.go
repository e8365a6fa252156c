package image

import (
	"strings"

	"github.com/containers/image/v5/directory"
	darchive "github.com/containers/image/v5/docker/archive"
	oarchive "github.com/containers/image/v5/oci/archive"
	"github.com/containers/image/v5/oci/layout"
	istorage "github.com/containers/image/v5/storage"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const registryPrefix = "docker://"

// parsers are the transports other than the registry. The list is ours so that no unused one is linked.
var parsers = map[string]func(string) (types.ImageReference, error){
	"docker-archive":     darchive.ParseReference,
	"oci":                layout.ParseReference,
	"oci-archive":        oarchive.ParseReference,
	"dir":                directory.NewReference,
	"containers-storage": istorage.Transport.ParseReference,
}

// foreign are transports of other tools, named so that they are not taken for an image's name.
var foreign = map[string]bool{"docker-daemon": true, "ostree": true, "sif": true, "atomic": true, "tarball": true}

// parseTransport gives the reference of a name with a transport other than docker://, or nil.
func parseTransport(name string) (types.ImageReference, error) {
	transport, rest, found := strings.Cut(name, ":")
	if !found {
		return nil, nil
	}
	parse, known := parsers[transport]
	switch {
	case foreign[transport] && strings.ContainsAny(rest, "/:"):
		return nil, errdefs.New(errdefs.ErrUnsupported, "transport %s: is not supported (there are docker://, docker-archive:, oci:, oci-archive:, dir:, containers-storage:)", transport)
	case !known:
		return nil, nil
	}
	ref, err := parse(rest)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "invalid reference %q: %s", name, firstLine(err))
	}
	return ref, nil
}
