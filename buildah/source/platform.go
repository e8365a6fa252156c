package source

import (
	"runtime"

	"github.com/containerd/platforms"
	"github.com/containers/image/v5/types"
	"github.com/moby/buildkit/solver/pb"
	imgspec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/image/option"
)

// hostPlatform is what this machine runs without emulation.
func hostPlatform() option.Platform {
	p := option.Platform{OS: "linux", Arch: runtime.GOARCH}
	if p.Arch == "arm" {
		p.Variant = platforms.DefaultSpec().Variant
	}
	return p
}

// platformOf is the platform of a vertex; none is this machine's.
func platformOf(p *pb.Platform) option.Platform {
	if p == nil || p.Architecture == "" {
		return hostPlatform()
	}
	return specPlatform(&imgspec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant})
}

func specPlatform(p *imgspec.Platform) option.Platform {
	if p == nil {
		return hostPlatform()
	}
	n := platforms.Normalize(*p)
	return option.Platform{OS: n.OS, Arch: n.Architecture, Variant: n.Variant}
}

// platformContext makes the image library choose a platform.
func platformContext(p option.Platform) types.SystemContext {
	return types.SystemContext{OSChoice: p.OS, ArchitectureChoice: p.Arch, VariantChoice: p.Variant}
}
