package list

import (
	"slices"
	"strings"
	"time"

	"github.com/wherry-containers/wherry/pkg/store"
)

// Document is what `image inspect` shows: Docker's document, and Digest, Labels, User and History of Podman's.
type Document struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Parent       string
	Comment      string
	Created      string
	Author       string
	Config       Config
	Architecture string
	Variant      string `json:",omitempty"`
	OS           string `json:"Os"`
	OSVersion    string `json:"OsVersion,omitempty"`
	Size         int64
	VirtualSize  int64
	GraphDriver  GraphDriver
	RootFS       RootFS
	Metadata     Metadata
	Digest       string
	Labels       map[string]string
	User         string
	History      []store.History
}

// Config is an image's configuration with every field that templates ask for.
type Config struct {
	User         string
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Env          []string
	Cmd          []string
	Volumes      map[string]struct{}
	WorkingDir   string
	Entrypoint   []string
	OnBuild      []string
	Labels       map[string]string
	StopSignal   string             `json:",omitempty"`
	StopTimeout  *int               `json:",omitempty"`
	Healthcheck  *store.Healthcheck `json:",omitempty"`
	Shell        []string           `json:",omitempty"`
}

// GraphDriver says where the layers lie.
type GraphDriver struct {
	Name string
	Data map[string]string
}

// RootFS lists the digests of the layers, bottom first.
type RootFS struct {
	Type   string
	Layers []string
}

// Metadata is what is known of an image beside its content.
type Metadata struct {
	LastTagTime string
}

// Inspect makes the document of an image that Lookup found.
func Inspect(img *store.Image) Document {
	c := img.Config
	d := Document{
		ID: "sha256:" + img.ID, RepoTags: []string{}, RepoDigests: []string{}, Comment: comment(c), Author: c.Author,
		Created: img.Created.UTC().Format(time.RFC3339Nano), Architecture: c.Architecture, Variant: c.Variant, OS: c.OS,
		OSVersion: c.OSVersion, Size: img.Size, VirtualSize: img.Size, GraphDriver: graphDriver(img),
		RootFS:   RootFS{Type: c.RootFS.Type, Layers: c.RootFS.DiffIDs},
		Metadata: Metadata{LastTagTime: time.Time{}.Format(time.RFC3339Nano)},
		Digest:   img.Digest, Labels: c.Config.Labels, User: c.Config.User, History: c.History,
	}
	p := c.Config
	d.Config = Config{
		User: p.User, ExposedPorts: p.ExposedPorts, Env: p.Env, Cmd: p.Cmd, Volumes: p.Volumes, WorkingDir: p.WorkingDir,
		Entrypoint: p.Entrypoint, OnBuild: p.OnBuild, Labels: p.Labels, StopSignal: p.StopSignal, StopTimeout: p.StopTimeout,
		Healthcheck: p.Healthcheck, Shell: p.Shell,
	}
	d.addNames(img)
	return d
}

// addNames fills tags and digests: every repository that the image has a name in, with every digest it is known by.
func (d *Document) addNames(img *store.Image) {
	for _, full := range img.Names {
		n := ParseName(full)
		if n.Tag != "" {
			d.RepoTags = append(d.RepoTags, n.Repository+":"+n.Tag)
		}
		digests := img.Digests
		if n.Digest != "" {
			digests = []string{n.Digest}
		}
		for _, digest := range digests {
			if name := n.Repository + "@" + digest; !slices.Contains(d.RepoDigests, name) {
				d.RepoDigests = append(d.RepoDigests, name)
			}
		}
	}
}

// comment is the image's own, or that of its last step.
func comment(c store.Config) string {
	if c.Comment == "" && len(c.History) > 0 {
		return c.History[len(c.History)-1].Comment
	}
	return c.Comment
}

func graphDriver(img *store.Image) GraphDriver {
	g := GraphDriver{Name: img.Driver, Data: map[string]string{}}
	if len(img.Lower) > 0 {
		g.Data["UpperDir"] = img.Lower[0]
	}
	if len(img.Lower) > 1 {
		g.Data["LowerDir"] = strings.Join(img.Lower[1:], ":")
	}
	return g
}
