package list

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/store"
)

// Tree is how the layers of an image lie upon each other, in Podman's form; with dependents, the layers of other images
// that lie upon them as well.
func Tree(img *store.Image, all []store.Image, dependents bool) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Image ID: %s\nTags:     %v\nSize:     %s\n", ShortID(img.ID), familiarNames(img.Names), Size(img.Size))
	if len(img.Layers) == 0 {
		out.WriteString("No Image Layers\n")
		return out.String()
	}
	out.WriteString("Image Layers\n")
	t := tree{out: &out, tops: map[string][]string{}, sizes: map[string]int64{}, above: map[string][]string{}}
	t.learn(*img)
	if !dependents {
		for i := len(img.Layers) - 1; i >= 0; i-- {
			t.line("", img.Layers[i], i == 0)
		}
		return out.String()
	}
	for _, other := range all {
		if slices.Contains(other.Layers, img.Layers[0]) && other.ID != img.ID {
			t.learn(other)
		}
	}
	t.branch("", img.Layers[len(img.Layers)-1], true)
	return out.String()
}

// tree knows layers by id.
type tree struct {
	out   *strings.Builder
	tops  map[string][]string // names of the images whose topmost layer it is
	sizes map[string]int64
	above map[string][]string // layers that lie on it
}

func (t *tree) learn(img store.Image) {
	if len(img.Layers) == 0 {
		return
	}
	names := familiarNames(img.Names)
	if len(names) == 0 {
		names = []string{ShortID(img.ID)}
	}
	t.tops[img.Layers[0]] = append(t.tops[img.Layers[0]], names...)
	for i, layer := range img.Layers {
		if i < len(img.Sizes) {
			t.sizes[layer] = img.Sizes[i]
		}
		if i+1 < len(img.Layers) && !slices.Contains(t.above[img.Layers[i+1]], layer) {
			t.above[img.Layers[i+1]] = append(t.above[img.Layers[i+1]], layer)
		}
	}
}

func (t *tree) line(indent, layer string, last bool) {
	mark := "├── "
	if last {
		mark = "└── "
	}
	fmt.Fprintf(t.out, "%s%sID: %s Size: %7s", indent, mark, ShortID(layer), Size(t.sizes[layer]))
	if names := t.tops[layer]; len(names) > 0 {
		fmt.Fprintf(t.out, " Top Layer of: %v", names)
	}
	t.out.WriteByte('\n')
}

func (t *tree) branch(indent, layer string, last bool) {
	t.line(indent, layer, last)
	more := "│   "
	if last {
		more = "    "
	}
	for i, next := range t.above[layer] {
		t.branch(indent+more, next, i == len(t.above[layer])-1)
	}
}

func familiarNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = ParseName(name).String()
	}
	return out
}
