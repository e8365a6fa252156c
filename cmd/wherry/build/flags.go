package build

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/libpod/values"
)

// inputFlags say what is built of what.
func (b *builder) inputFlags() []cli.Flag {
	o := &b.opts
	return []cli.Flag{
		cmdkit.Strings(&o.Files, "file f", "Dockerfile: a `FILE`, a URL, or - for standard input"),
		cmdkit.Func("build-context", "A further context: `NAME=DIR`, a URL, docker-image://IMAGE or oci-layout://DIR", func(s string) error {
			name, from, ok := strings.Cut(s, "=")
			if !ok || name == "" || from == "" {
				return fmt.Errorf("NAME=CONTEXT is expected")
			}
			o.Contexts[name] = from
			return nil
		}),
		cmdkit.String(&o.IgnoreFile, "ignorefile", "Leave out of the context what `FILE` lists, instead of .dockerignore"),
		cmdkit.String(&o.Target, "target", "Build the stage `NAME`"),
		cmdkit.Strings(&o.Args, "build-arg", "Set the argument `NAME=VALUE`, or NAME to the environment's value"),
		cmdkit.Strings(&o.ArgFiles, "build-arg-file", "Set the arguments in `FILE`, one NAME=VALUE a line"),
		cmdkit.Strings(&o.Platforms, "platform", "Build for `OS/ARCH[/VARIANT]`, or for several, separated by commas"),
		cmdkit.String(&b.platform.os, "os", "Build for the operating system `NAME`"),
		cmdkit.String(&b.platform.arch, "arch", "Build for the processor `NAME`"),
		cmdkit.String(&b.platform.variant, "variant", "Build for the processor's variant `NAME`"),
		cmdkit.Bool(&o.NoCache, "no-cache", "Do every step anew"),
		cmdkit.Strings(&o.NoCacheFilter, "no-cache-filter", "Do the steps of the stage `NAME` anew"),
		pullFlag(&o.Pull),
		cmdkit.Strings(&o.Allow, "allow", "Let steps have `network.host|security.insecure|device`"),
		cmdkit.Strings(&o.Access.Secrets, "secret", "Let steps mount a secret: `id=ID[,src=FILE|env=NAME]`"),
		cmdkit.Strings(&o.Access.SSH, "ssh", "Let steps use the SSH agent, or keys: `ID[=SOCKET|KEY[,KEY]]`"),
		cmdkit.String(&o.Call, "call", "Instead of a build answer a question: `build|check|outline|targets`"),
		cmdkit.Bool(&b.check, "check", "Check the Dockerfile instead of building it"),
		cmdkit.Int(&o.Jobs, "jobs", "At most `NUMBER` steps at a time; 0: as many as there are processors"),
	}
}

// pullFlag is Docker's switch and Podman's policy in one.
func pullFlag(policy *string) cli.Flag {
	f := cmdkit.Func("pull", "Ask the registry for images: always, also as a switch; `always|missing|never|newer` with =", func(s string) error {
		switch s {
		case "true":
			s = "always"
		case "false":
			s = "missing"
		}
		if !slices.Contains([]string{"always", "missing", "never", "newer"}, s) {
			return fmt.Errorf("want always, missing, never or newer")
		}
		*policy = s
		return nil
	})
	f.Bool, f.Worded = true, true
	return f
}

// stepFlags say how RUN is executed.
func (b *builder) stepFlags() []cli.Flag {
	s := &b.opts.Steps
	number := func(names, usage, key string, parse func(string) (int64, error)) cli.Flag {
		return cmdkit.Func(names, usage, func(text string) error {
			n, err := parse(text)
			if err == nil && n != 0 {
				s.Resources[key] = strconv.FormatInt(n, 10)
			}
			return err
		})
	}
	unsigned := func(parse func(string) (uint64, error)) func(string) (int64, error) {
		return func(text string) (int64, error) {
			n, err := parse(text)
			return int64(n), err
		}
	}
	list := func(name, usage, key string) cli.Flag {
		return cmdkit.Func(name, usage, func(text string) error { s.Resources[key] = text; return nil })
	}
	return []cli.Flag{
		cmdkit.String(&s.Network, "network net", "Network of the steps: `default|host|none`, or one of network ls"),
		cmdkit.Strings(&s.DNS, "dns", "Let steps ask the name server `ADDRESS`"),
		cmdkit.Strings(&s.DNSSearch, "dns-search", "Let steps look names up in `DOMAIN`"),
		cmdkit.Strings(&s.DNSOptions, "dns-option dns-opt", "`OPTION` of the steps' resolv.conf"),
		cmdkit.Strings(&s.Hosts, "add-host", "Let steps know a further host: `NAME:ADDRESS`"),
		cmdkit.Strings(&s.Ulimits, "ulimit", "Limit of a resource, `NAME=SOFT[:HARD]`"),
		cmdkit.Func("shm-size", "`SIZE` of /dev/shm", func(text string) (err error) { s.ShmSize, err = values.Bytes(text); return err }),
		cmdkit.String(&s.CgroupParent, "cgroup-parent", "Control group `PATH` that the steps' ones lie in"),
		number("memory m", "At most `SIZE` of memory for a step", "memory", values.Memory),
		number("memory-swap", "At most `SIZE` of memory and swap together, -1 for no limit", "memswap", values.MemorySwap),
		number("cpu-shares c", "Weight of a step's processor time, `2 to 262144`", "cpushares", unsigned(values.CPUShares)),
		number("cpu-period", "Share the processors out anew every `MICROSECONDS`", "cpuperiod", unsigned(values.Microseconds)),
		number("cpu-quota", "At most `MICROSECONDS` of processor time in each period", "cpuquota", values.Quota),
		list("cpuset-cpus", "Only the processors in `LIST`, as 0-3,5", "cpusetcpus"),
		list("cpuset-mems", "Only the memory nodes in `LIST`, as 0-1", "cpusetmems"),
		cmdkit.Func("resource", "Limit of a step in one flag: `NAME=VALUE`, as memory=2g or cpu-quota=50000", b.resource),
		noProxy(&s.NoProxy),
	}
}

// noProxy is Podman's --http-proxy, which is on.
func noProxy(off *bool) cli.Flag {
	on := true
	f := cmdkit.Bool(&on, "http-proxy", "Give steps the proxies of the environment (the default)")
	set := f.Set
	f.Set = func(s string) error {
		err := set(s)
		*off = !on
		return err
	}
	return f
}

// resource is docker buildx's --resource.
func (b *builder) resource(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("NAME=VALUE is expected")
	}
	for _, f := range b.stepFlags() {
		if ours, ok := f.(*cmdkit.Flag); ok && ours.Name == name && name != "resource" {
			switch name {
			case "memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems":
				return ours.Set(value)
			}
		}
	}
	return fmt.Errorf("there is no resource %q", name)
}

// resultFlags say what becomes of the image.
func (b *builder) resultFlags() []cli.Flag {
	r := &b.opts.Result
	return []cli.Flag{
		cmdkit.Strings(&r.Tags, "tag t", "Name the image `NAME[:TAG]`"),
		cmdkit.Strings(&r.Labels, "label", "Set the label `NAME=VALUE`"),
		cmdkit.Strings(&r.Annotations, "annotation", "Annotate the image: `[TYPE:]NAME=VALUE`"),
		cmdkit.Strings(&r.CacheFrom, "cache-from", "Take results also from a cache elsewhere: an `IMAGE`, type=registry,ref=IMAGE or type=local,src=DIR"),
		cmdkit.Strings(&r.CacheTo, "cache-to", "Write results to a cache: `type=registry|local|inline`,ref=IMAGE|dest=DIR,mode=min|max"),
		cmdkit.Strings(&r.Outputs, "output o", "Instead of the store: a `DIR`, - for a tar archive, or type=image|registry|local|tar|oci|docker,dest=..."),
		cmdkit.Bool(&r.Push, "push", "Push the image to its registry"),
		cmdkit.Bool(&r.Load, "load", "Keep the image in the store (the default)"),
		cmdkit.Strings(&r.Attests, "attest", "State something about the image: `type=provenance|sbom,...`"),
		cmdkit.String(&b.prov, "provenance", "State how the image came about: `true|false|mode=min|max`"),
		cmdkit.String(&b.sbom, "sbom", "State what software is in the image: `true|false|generator=IMAGE`"),
		cmdkit.String(&r.Format, "format", "Write the image's description as `oci|docker`"),
		cmdkit.Bool(&r.Squash, "squash", "Make one layer of what the Dockerfile adds"),
		cmdkit.Bool(&r.SquashAll, "squash-all", "Make one layer of everything"),
		always("layers", "Keep what each step makes for later builds (the default)", "the results of steps are always kept (use --no-cache, and --squash for one layer)"),
		epochFlag("timestamp", "No time in the image is later than `SECONDS` since 1970, also of its files", &r.Epoch, &r.Rewrite),
		epochFlag("source-date-epoch", "No time in the image's description is later than `SECONDS` since 1970", &r.Epoch, nil),
		cmdkit.Bool(&r.Rewrite, "rewrite-timestamp", "Let --source-date-epoch also be about the times of files"),
		cmdkit.String(&r.IIDFile, "iidfile", "Write the image's id to `FILE`"),
		cmdkit.String(&r.Metadata, "metadata-file", "Write what came of the build to `FILE`, as JSON"),
		always("rm", "Remove the containers of the steps (they are always removed)", noContainers),
		always("force-rm", "Remove the containers of the steps also after a failure (they are always removed)", noContainers),
	}
}

func epochFlag(name, usage string, to **int64, rewrite *bool) cli.Flag {
	return cmdkit.Func(name, usage, func(s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return fmt.Errorf("seconds since 1970 are expected")
			}
			n = t.Unix()
		}
		*to = &n
		if rewrite != nil {
			*rewrite = true
		}
		return nil
	})
}

const noContainers = "the containers of steps do not stay (the cache has each step's files)"

// always is a switch that asks for what happens anyhow; the contrary is refused.
func always(name, usage, why string) cli.Flag {
	f := cmdkit.Func(name, usage, func(s string) error {
		if on, err := strconv.ParseBool(s); err != nil {
			return fmt.Errorf("true or false is expected")
		} else if !on {
			return fmt.Errorf("%s", why)
		}
		return nil
	})
	f.Bool = true
	return f
}

// displayFlags say what the user sees.
func (b *builder) displayFlags() []cli.Flag {
	d := &b.opts.Display
	return []cli.Flag{
		cmdkit.Func("progress", "How progress is shown: `auto|plain|tty|rawjson|quiet|none`", func(s string) error {
			if !slices.Contains([]string{"auto", "plain", "tty", "rawjson", "quiet", "none"}, s) {
				return fmt.Errorf("want auto, plain, tty, rawjson, quiet or none")
			}
			d.Progress = s
			return nil
		}),
		cmdkit.Bool(&d.Quiet, "quiet q", "Print the image's id only"),
		cmdkit.String(&d.LogFile, "logfile", "Write progress to `FILE` instead of standard error"),
	}
}

// refused are flags of Docker and Podman that a build here does not have.
func refused() []cli.Flag {
	return slices.Concat(
		cmdkit.Refused("compress", "the context is read where it lies, there is nothing to compress"),
		cmdkit.Refused("disable-compression,D", "use --output type=image,compression=uncompressed"),
		cmdkit.Refused("isolation", "steps run in an OCI runtime, always"),
		cmdkit.Refused("security-opt", "use RUN --security=insecure and --allow security.insecure"),
		cmdkit.Refused("policy source-policy-file", "source policies are not supported"),
		cmdkit.Refused("cap-add cap-drop device userns userns-uid-map userns-gid-map userns-uid-map-user userns-gid-map-user group-add ipc pid uts cgroupns",
			"a step must not depend on who builds (RUN --security=insecure and RUN --device are in the Dockerfile)"),
		cmdkit.Refused("volume,v transient-mount", "use RUN --mount=type=bind and --build-context, or RUN --mount=type=cache"),
		cmdkit.Refused("env unsetenv unsetlabel unsetannotation from", "say it in the Dockerfile (ENV, LABEL, an ARG before FROM)"),
		cmdkit.Refused("cpp-flag", "Dockerfiles are not passed through a C preprocessor"),
		cmdkit.Refused("stdin", "steps read nothing from the terminal"),
		cmdkit.Refused("sign-by cw decryption-key", "sign or encrypt with push"),
		cmdkit.Refused("cache-ttl", "use builder prune --filter until=..."),
		cmdkit.Refused("compat-volumes omit-history identity-label layer-label created-annotation inherit-annotations inherit-labels no-hostname no-hosts os-version os-feature",
			"images are as BuildKit makes them"),
		cmdkit.Refused("skip-unused-stages", "unused stages are never built"),
		cmdkit.Refused("all-platforms", "name them: --platform linux/amd64,linux/arm64"),
		cmdkit.Refused("sbom-scanner-command sbom-scanner-image sbom-merge-strategy sbom-output sbom-image-output sbom-purl-output sbom-image-purl-output", "use --sbom generator=IMAGE"),
		cmdkit.Refused("hooks-dir", "hooks are for containers"),
		cmdkit.Refused("debug", "use --progress plain"),
	)
}
