package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-tools/generate"

	"github.com/wherry-containers/wherry/pkg/caps"
	"github.com/wherry-containers/wherry/pkg/seccomp"
)

// ociVersion is the oldest version that has all we use: runtimes refuse one that is newer than they are.
const ociVersion = "1.0.2"

// Build returns the runtime's configuration for one start of in.Config.
func Build(in Input) (*specs.Spec, error) {
	g, err := generate.New("linux")
	if err != nil {
		return nil, err
	}
	s := g.Config
	s.Version = ociVersion
	s.Root = &specs.Root{Path: in.Root, Readonly: in.Config.Rootfs.ReadOnly}
	s.Hostname = "" // the library has one of its own
	if ownUTS(in) {
		s.Hostname = hostname(in)
	}
	s.Linux = &specs.Linux{}
	for _, step := range []func(Input, *specs.Spec) error{
		setNamespaces, setProcess, setMounts, setDevices, setResources, setSecurity, setAnnotations, setPersonality,
	} {
		if err := step(in, s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Capabilities returns the container's bounding set: the caps argument of seccomp.Build and seccomp.Cache.Key.
func Capabilities(in Input) ([]string, error) {
	sec := in.Config.Security
	permitted := in.Host.Caps
	if !sec.Privileged && deviceRulesFail(in) {
		permitted = permitted.Without("CAP_MKNOD")
	}
	return caps.Resolve(sec.CapAdd, sec.CapDrop, sec.Privileged, permitted)
}

// SeccompProfile returns what the container asks of package seccomp: its own profile, Unconfined, or the default.
// A privileged container has no filter unless it names one, as in Docker.
func SeccompProfile(in Input) string {
	sec := in.Config.Security
	if sec.Privileged && sec.Seccomp == "" {
		return seccomp.Unconfined
	}
	return sec.Seccomp
}

// ownUTS tells whether the container's host name is its own to set.
func ownUTS(in Input) bool { return in.Config.Namespaces.UTS != "host" && in.Joined.UTS == "" }

func hostname(in Input) string {
	switch {
	case in.Joined.Hostname != "":
		return in.Joined.Hostname
	case in.Config.Hostname != "":
		return in.Config.Hostname
	case (in.Config.Network.Mode == "host" || in.Config.Namespaces.UTS == "host") && in.Host.Hostname != "":
		return in.Host.Hostname
	case len(in.Config.ID) > 12:
		return in.Config.ID[:12]
	}
	return in.Config.ID
}

func setPersonality(in Input, s *specs.Spec) error {
	if domain := in.Config.Process.Personality; domain != "" {
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.LinuxPersonalityDomain(domain)}
	}
	return nil
}

func setAnnotations(in Input, s *specs.Spec) error {
	if len(in.Config.Notes) == 0 && in.Seccomp.BPF == "" {
		return nil
	}
	s.Annotations = make(map[string]string, len(in.Config.Notes)+1)
	for k, v := range in.Config.Notes {
		s.Annotations[k] = v
	}
	if in.Seccomp.BPF != "" {
		s.Annotations[seccomp.Annotation] = in.Seccomp.BPF
	}
	return nil
}
