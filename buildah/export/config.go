package export

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/util/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// layerInfo is what an image says of one of its layers.
type layerInfo struct {
	id      string
	diffID  digest.Digest
	size    int64 // uncompressed
	created time.Time
	by      string // the step that made it
	// What it was pulled as; empty: it was not.
	packed     digest.Digest
	compressed string
}

// imageConfig completes the configuration that the frontend has made: layers, history, times. Fields that are not known
// here are kept.
func imageConfig(data []byte, list []layerInfo, base *dockerspec.DockerOCIImage, epoch *time.Time, inline []byte) ([]byte, error) {
	if len(data) == 0 {
		var err error
		if data, err = emptyConfig(); err != nil {
			return nil, err
		}
	}
	var img ocispecs.Image
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &img); err != nil {
		return nil, fmt.Errorf("the image's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "the image's configuration is no object")
	}
	if img.OS == "" || img.Architecture == "" {
		return nil, errdefs.New(errdefs.ErrInvalid, "the image's configuration names no operating system or architecture")
	}
	root := ocispecs.RootFS{Type: "layers"}
	for _, l := range list {
		root.DiffIDs = append(root.DiffIDs, l.diffID)
	}
	steps := fitHistory(img.History, list)
	clampHistory(steps, base, epoch)
	set := map[string]any{"rootfs": root, "history": steps}
	if created, changed := createdTime(fields, img.Created, steps, epoch); changed {
		set["created"] = created
	}
	if inline != nil {
		set["moby.buildkit.cache.v0"] = inline
	}
	for key, value := range set {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		fields[key] = raw
	}
	return json.Marshal(fields)
}

func emptyConfig() ([]byte, error) {
	p := platforms.Normalize(platforms.DefaultSpec())
	img := ocispecs.Image{Platform: ocispecs.Platform{Architecture: p.Architecture, OS: p.OS, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures, Variant: p.Variant}}
	img.RootFS.Type = "layers"
	img.Config.WorkingDir = "/"
	img.Config.Env = []string{"PATH=" + system.DefaultPathEnv(p.OS)}
	return json.Marshal(img)
}

// fitHistory makes the history fit the layers: one step a layer, each with a time.
func fitHistory(history []ocispecs.History, list []layerInfo) []ocispecs.History {
	steps := slices.Clone(history)
	made := 0
	for i := range steps {
		if !steps[i].EmptyLayer && made == len(list) {
			steps[i].EmptyLayer = true // more steps than layers
		}
		if !steps[i].EmptyLayer {
			if steps[i].Created == nil {
				steps[i].Created = &list[made].created
			}
			made++
		}
	}
	for _, l := range list[made:] {
		by := l.by
		if by == "" {
			by = "created by buildkit"
		}
		steps = append(steps, ocispecs.History{Created: &l.created, CreatedBy: by, Comment: "buildkit.exporter.image.v0"})
	}
	fillTimes(steps)
	return steps
}

// fillTimes gives steps without a time, those that made no layer, the time of the first new layer, then of the one
// before.
func fillTimes(steps []ocispecs.History) {
	var created *time.Time
	missing := false
	for _, h := range steps {
		if h.Created == nil {
			missing = true
			continue
		}
		created = h.Created
		if missing {
			break
		}
	}
	missing = false
	for i := range steps {
		switch {
		case steps[i].Created == nil:
			missing = true
			steps[i].Created = created
		case missing:
			created = steps[i].Created
		}
	}
}

// clampHistory makes no step younger than the epoch but those of the image below.
func clampHistory(steps []ocispecs.History, base *dockerspec.DockerOCIImage, epoch *time.Time) {
	if epoch == nil {
		return
	}
	own := false
	for i := range steps {
		if !own && base != nil && i < len(base.History) && reflect.DeepEqual(steps[i], base.History[i]) {
			continue
		}
		own = true
		if steps[i].Created == nil || steps[i].Created.After(*epoch) {
			steps[i].Created = epoch
		}
	}
}

// createdTime is when the image was made, if that is not what the configuration says.
func createdTime(fields map[string]json.RawMessage, said *time.Time, steps []ocispecs.History, epoch *time.Time) (*time.Time, bool) {
	if _, ok := fields["created"]; ok {
		return epoch, epoch != nil && said != nil && said.After(*epoch)
	}
	var last *time.Time
	for _, h := range steps {
		if h.Created != nil {
			last = h.Created
		}
	}
	return last, true
}
