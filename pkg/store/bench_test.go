package store

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkLookup: with the cache the cost must not depend on the number of images.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000} {
		s, d := newStore(b)
		fill(b, d.Graph(), Overlay, thousand(n)...)
		b.Run(fmt.Sprintf("%d/cached", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Lookup(b.Context(), "img0"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d/cold", n), func(b *testing.B) {
			for b.Loop() {
				os.Remove(s.cacheFile("img0"))
				if _, err := s.Lookup(b.Context(), "img0"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d/list", n), func(b *testing.B) {
			for b.Loop() {
				if images, err := s.Images(b.Context()); err != nil || len(images) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
