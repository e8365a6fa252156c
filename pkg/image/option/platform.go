package option

import (
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// machineNames are the names that uname and distributions use for Go's architectures.
var machineNames = map[string]Platform{
	"x86_64": {Arch: "amd64"}, "x86-64": {Arch: "amd64"}, "aarch64": {Arch: "arm64"}, "i386": {Arch: "386"}, "i686": {Arch: "386"},
	"armhf": {Arch: "arm", Variant: "v7"}, "armv7l": {Arch: "arm", Variant: "v7"}, "armv7": {Arch: "arm", Variant: "v7"},
	"armel": {Arch: "arm", Variant: "v6"}, "armv6l": {Arch: "arm", Variant: "v6"}, "armv6": {Arch: "arm", Variant: "v6"},
}

var errPlatform = errdefs.New(errdefs.ErrInvalid, "want OS[/ARCH[/VARIANT]], for example linux/arm64")

// ParsePlatform reads OS[/ARCH[/VARIANT]], or an architecture alone.
func ParsePlatform(text string) (Platform, error) {
	parts := strings.Split(strings.ToLower(text), "/")
	for _, part := range parts {
		if part == "" || strings.ContainsAny(part, " \t\n:,") {
			return Platform{}, errPlatform
		}
	}
	switch {
	case len(parts) > 3:
		return Platform{}, errPlatform
	case len(parts) == 1 && isOS(parts[0]):
		return Platform{OS: parts[0]}, nil
	case len(parts) == 1:
		return Platform{OS: "linux", Arch: parts[0]}.Normal(), nil
	}
	p := Platform{OS: parts[0], Arch: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p.Normal(), nil
}

func isOS(name string) bool {
	switch name {
	case "linux", "windows", "darwin", "freebsd", "wasi":
		return true
	}
	return false
}

// Normal replaces a machine's name by the architecture's.
func (p Platform) Normal() Platform {
	if known, ok := machineNames[p.Arch]; ok {
		p.Arch = known.Arch
		if p.Variant == "" {
			p.Variant = known.Variant
		}
	}
	return p
}

// String is os/arch[/variant].
func (p Platform) String() string {
	out := p.OS + "/" + p.Arch
	if p.Variant != "" {
		out += "/" + p.Variant
	}
	return out
}

// Matches says whether an image for os, arch and variant is what was asked for.
func (p Platform) Matches(os, arch, variant string) bool {
	p = p.Normal()
	return (p.OS == "" || p.OS == os) && (p.Arch == "" || p.Arch == arch) &&
		(p.Variant == "" || variant == "" || p.Variant == variant)
}
