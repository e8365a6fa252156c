package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	image = "localhost/bench:latest"
	idle  = "bench-idle" // a container that sleeps while others are measured
)

// peer is one engine under measurement.
type peer struct {
	name    string
	version string
	*agent
	binary  string
	monitor string   // command name of its per-container process
	logs    []string // flags that choose its log driver
	rmFlags []string
	state   string // crun's directory for what runs, on a tmpfs as everybody has it
	address string // of BuildKit's daemon
	tarball string // the image's root file system, as a path that the peer can open
}

func (p *peer) cmd(args ...string) []string { return append([]string{p.binary}, args...) }

func (p *peer) runArgs(extra ...string) []string {
	return p.cmd(append([]string{"run", "--network", "none"}, extra...)...)
}

// rm is the command that removes containers at once.
func (p *peer) rm(names ...string) []string {
	return p.cmd(append(append([]string{"rm", "-f"}, p.rmFlags...), names...)...)
}

// places is where things lie for this run of the benchmark.
type places struct {
	tree    string // the source tree
	dir     string // scratch directory of the test user
	self    string // this program, readable by everybody
	drop    []string
	podman5 string // script that enters podman 5's root, or empty
}

// home is a peer's home. Each may be a file system of its own: what one has just deleted slows the next one's new files on
// some (ext4 without a journal passes over inodes that were freed in the last minute).
func (at places) home(peer string) string { return filepath.Join(at.dir, "home-"+peer) }

// open starts the peers that are there; the first is always wherry.
func open(at places) ([]*peer, error) {
	local := func(peer string) (*agent, error) {
		line := append(append([]string{}, at.drop...), "env", "HOME="+at.home(peer), "CONTAINERS_CONF="+filepath.Join(at.dir, "containers.conf"))
		return startAgent(nil, append(line, at.self, "-agent")...)
	}
	tarball := filepath.Join(at.dir, "busybox.tar")
	first, err := local("wherry")
	if err != nil {
		return nil, err
	}
	peers := []*peer{{
		name: "wherry", agent: first, binary: filepath.Join(at.tree, "bin/wherry"), monitor: "wherry-monitor",
		logs: []string{"--log-driver", "json-file"}, tarball: tarball,
	}}
	if _, err := os.Stat("/usr/bin/podman"); err == nil {
		second, err := local("podman")
		if err != nil {
			return nil, err
		}
		peers = append(peers, podman("podman", second, tarball))
	}
	if at.podman5 != "" {
		third, err := startAgent(nil, at.podman5, "--sh", "exec /hostroot"+at.self+" -agent")
		if err != nil {
			fmt.Fprintf(os.Stderr, "# going on without podman 5: %v\n", err)
		} else {
			peers = append(peers, podman("podman5", third, "/hostroot"+tarball))
		}
	}
	for _, p := range peers {
		if err := p.prepare(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return peers, nil
}

func podman(name string, a *agent, tarball string) *peer {
	return &peer{
		name: name, agent: a, binary: "podman", monitor: "conmon", logs: []string{"--log-driver", "k8s-file"},
		rmFlags: []string{"-t", "0"}, tarball: tarball,
	}
}

// prepare imports the image and starts the idle container.
func (p *peer) prepare() error {
	out, err := p.do(p.cmd("--version")...)
	if err != nil {
		return err
	}
	p.version = out[strings.LastIndex(out, " ")+1:]
	if _, err := p.do(p.cmd("import", p.tarball, image)...); err != nil {
		return err
	}
	p.do(p.rm(idle)...) // of an earlier run that was cut short; usually there is none
	_, err = p.do(p.runArgs("-d", "--name", idle, image, "sleep", "100000")...)
	return err
}

// rawCrun is crun alone on the spec that wherry made for the idle container, in wherry's user namespace: the same
// mounts, capabilities and seccomp profile (compiled by crun each time, as anybody's who calls crun), `true` to run.
func rawCrun(at places, wherry *peer) (*peer, error) {
	id, err := wherry.do(wherry.cmd("ps", "-q", "--no-trunc", "--filter", "name="+idle)...)
	if err != nil {
		return nil, err
	}
	runDir, err := wherry.do("sh", "-c", `ls -d "${WHERRY_RUN:-$XDG_RUNTIME_DIR/wherry}/c/`+id+`"`)
	if err != nil {
		return nil, err
	}
	bundle := filepath.Join(at.home("wherry"), "bundle")
	if err := writeBundle(filepath.Join(runDir, "bundle/config.json"), bundle); err != nil {
		return nil, err
	}
	line := append(append([]string{}, at.drop...), "env", "HOME="+at.home("wherry"), wherry.binary, "unshare", at.self, "-agent")
	a, err := startAgent(nil, line...)
	if err != nil {
		return nil, err
	}
	if _, err := a.do("tar", "-xf", wherry.tarball, "-C", filepath.Join(bundle, "rootfs")); err != nil {
		return nil, err
	}
	out, err := a.do("crun", "--version")
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(out, "\n")
	return &peer{name: "crun", version: version[strings.LastIndex(version, " ")+1:], agent: a, binary: "crun",
		state: filepath.Join(runDir, "../../../bench-crun")}, nil
}

// writeBundle copies a container's spec for a bare `crun run` of true.
func writeBundle(from, bundle string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	spec.Root.Path = "rootfs"
	spec.Process.Args = []string{"true"}
	spec.Linux.CgroupsPath = ""
	delete(spec.Annotations, "run.oci.seccomp_bpf_data")
	if spec.Linux.Seccomp == nil {
		return fmt.Errorf("%s has no seccomp section to compare with", from)
	}
	for i := range spec.Linux.Namespaces {
		spec.Linux.Namespaces[i].Path = ""
	}
	text, err = json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o644)
}
