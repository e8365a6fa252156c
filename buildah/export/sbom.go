package export

import (
	"bytes"
	"path"
	"strings"

	intoto "github.com/in-toto/in-toto-golang/in_toto"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/version"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

// withLayers notes in a list of the image's own parts which layer each file comes from, as BuildKit does. What is no such
// list stays as it is.
func (j *job) withLayers(a Attestation, data []byte, b *built) ([]byte, error) {
	core, ok := a.Metadata[result.AttestationSBOMCore]
	name, _, _ := strings.Cut(path.Base(a.Path), ".")
	if b == nil || !ok || name != string(core) || a.Kind != gatewaypb.AttestationKind_InToto || a.InToto.PredicateType != intoto.PredicateSPDX {
		return data, nil
	}
	doc, err := spdxjson.Read(bytes.NewReader(data))
	if err != nil || doc == nil {
		return data, nil
	}
	from, err := j.filesOf(b)
	if err != nil {
		return nil, err
	}
	files := doc.Files
	for _, p := range doc.Packages {
		if p != nil {
			files = append(files[:len(files):len(files)], p.Files...)
		}
	}
	for _, f := range files {
		if f == nil || f.FileComment != "" {
			continue
		}
		if d, ok := from[path.Join("/", f.FileName)]; ok {
			f.FileComment = "layerID: " + d
		}
	}
	if doc.CreationInfo == nil {
		doc.CreationInfo = &spdx.CreationInfo{}
	}
	doc.CreationInfo.Creators = append(doc.CreationInfo.Creators, common.Creator{CreatorType: "Tool", Creator: "buildkit-" + version.Version})
	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// filesOf says which layer's blob each file comes from: the uppermost that has it.
func (j *job) filesOf(b *built) (map[string]string, error) {
	from := map[string]string{}
	for i, l := range b.layers {
		names, err := j.o.Layers.Names(l.id)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if !strings.HasPrefix(path.Base(name), ".wh.") {
				from[path.Join("/", name)] = b.blobs[i].Digest.String()
			}
		}
	}
	return from, nil
}
