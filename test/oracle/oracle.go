// Package oracle compares what wherry builds with what the real BuildKit builds of the same Dockerfiles: every field of the
// image's configuration, every entry of every layer. Times are left out, for no two builds have the same.
package oracle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// picture is an image as text: a line for each field and each entry, in an order of its own.
type picture []string

// read makes the picture of an image in a tar of the OCI layout.
func read(path string) (picture, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	return index(files, files[v1.ImageIndexFile], "")
}

func blob(files map[string][]byte, d v1.Descriptor) []byte {
	return files["blobs/"+d.Digest.Algorithm().String()+"/"+d.Digest.Encoded()]
}

func index(files map[string][]byte, data []byte, at string) (picture, error) {
	var list v1.Index
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	var p picture
	for i, d := range list.Manifests {
		here := fmt.Sprintf("%s%d:", at, i)
		if d.Platform != nil {
			p = append(p, fmt.Sprintf("%s platform %s/%s/%s", here, d.Platform.OS, d.Platform.Architecture, d.Platform.Variant))
		}
		var more picture
		var err error
		if d.MediaType == v1.MediaTypeImageIndex {
			more, err = index(files, blob(files, d), here)
		} else {
			more, err = image(files, blob(files, d), here)
		}
		if err != nil {
			return nil, err
		}
		p = append(p, more...)
	}
	return p, nil
}

func image(files map[string][]byte, data []byte, at string) (picture, error) {
	var m v1.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	p := picture{at + " media type " + m.MediaType + " " + m.Config.MediaType}
	for _, k := range sorted(m.Annotations) {
		p = append(p, fmt.Sprintf("%s annotation %s=%s", at, k, m.Annotations[k]))
	}
	fields, err := config(blob(files, m.Config), at)
	if err != nil {
		return nil, err
	}
	p = append(p, fields...)
	for i, l := range m.Layers {
		here := fmt.Sprintf("%s layer %d", at, i)
		entries, err := layer(blob(files, l))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", here, err)
		}
		p = append(p, here+" "+l.MediaType)
		for _, e := range entries {
			p = append(p, here+" "+e)
		}
	}
	return p, nil
}

// config is the configuration field by field, with its times and digests left out.
func config(data []byte, at string) (picture, error) {
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	delete(fields, "created")
	if fs, ok := fields["rootfs"].(map[string]any); ok {
		if ids, ok := fs["diff_ids"].([]any); ok {
			fs["diff_ids"] = len(ids)
		}
	}
	if history, ok := fields["history"].([]any); ok {
		for _, h := range history {
			if h, ok := h.(map[string]any); ok {
				delete(h, "created")
			}
		}
	}
	return flat(at+" config", fields), nil
}

// flat is a JSON value as a line for each leaf.
func flat(at string, v any) (p picture) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sorted(v) {
			p = append(p, flat(at+"."+k, v[k])...)
		}
	case []any:
		for i, e := range v {
			p = append(p, flat(fmt.Sprintf("%s[%d]", at, i), e)...)
		}
	default:
		p = append(p, fmt.Sprintf("%s = %v", at, v))
	}
	return p
}

// layer is a line for each entry, by name. Of two with one name both count: no reader would agree on them.
func layer(data []byte) ([]string, error) {
	var r io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	}
	var list []string
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, t); err != nil {
			return nil, err
		}
		line := fmt.Sprintf("%s type %c mode %o owner %d:%d size %d", strings.TrimSuffix(h.Name, "/"), h.Typeflag, h.Mode, h.Uid, h.Gid, h.Size)
		if h.Linkname != "" {
			line += " to " + h.Linkname
		}
		if h.Typeflag == tar.TypeReg {
			line += fmt.Sprintf(" content %x", sum.Sum(nil)[:6])
		}
		if h.Devmajor != 0 || h.Devminor != 0 {
			line += fmt.Sprintf(" device %d,%d", h.Devmajor, h.Devminor)
		}
		for _, k := range sorted(h.PAXRecords) {
			if strings.HasPrefix(k, "SCHILY.xattr.") {
				line += fmt.Sprintf(" %s=%q", k, h.PAXRecords[k])
			}
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list, nil
}

// differences are the lines that only one has: - for want, + for got.
func differences(want, got picture) (lines []string) {
	w, g := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	for len(w) > 0 || len(g) > 0 {
		switch {
		case len(g) == 0 || len(w) > 0 && w[0] < g[0]:
			lines, w = append(lines, "- "+w[0]), w[1:]
		case len(w) == 0 || g[0] < w[0]:
			lines, g = append(lines, "+ "+g[0]), g[1:]
		default:
			w, g = w[1:], g[1:]
		}
	}
	return lines
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}
