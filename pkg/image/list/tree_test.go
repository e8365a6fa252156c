package list

import (
	"testing"

	"github.com/wherry-containers/wherry/pkg/store"
)

func TestTree(t *testing.T) {
	t.Parallel()
	base := store.Image{ID: "aaaaaaaaaaaaaaaa", Names: []string{"docker.io/library/base:1"}, Size: 3000, Layers: []string{"2222222222222222", "1111111111111111"}, Sizes: []int64{1000, 2000}}
	app := store.Image{ID: "bbbbbbbbbbbbbbbb", Layers: []string{"3333333333333333", "2222222222222222", "1111111111111111"}, Sizes: []int64{5, 1000, 2000}}
	const head = "Image ID: aaaaaaaaaaaa\nTags:     [base:1]\nSize:     3kB\nImage Layers\n"
	want := head + "├── ID: 111111111111 Size:     2kB\n└── ID: 222222222222 Size:     1kB Top Layer of: [base:1]\n"
	if got := Tree(&base, []store.Image{base, app}, false); got != want {
		t.Errorf("got\n%s", got)
	}
	want = head + "└── ID: 111111111111 Size:     2kB\n    └── ID: 222222222222 Size:     1kB Top Layer of: [base:1]\n        └── ID: 333333333333 Size:      5B Top Layer of: [bbbbbbbbbbbb]\n"
	if got := Tree(&base, []store.Image{base, app}, true); got != want {
		t.Errorf("with dependents:\n%s", got)
	}
	if got := Tree(&store.Image{ID: "cccccccccccccccc"}, nil, true); got != "Image ID: cccccccccccc\nTags:     []\nSize:     0B\nNo Image Layers\n" {
		t.Errorf("without layers:\n%s", got)
	}
}
