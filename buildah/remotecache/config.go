// Package remotecache shares what builds have made with other stores: in BuildKit's form of a build cache, in registries
// and in directories of the client, and inside of images. The keys are our own solver's, so what BuildKit itself wrote is
// read and never hits.
package remotecache

import (
	"encoding/json"
	"fmt"
	"slices"

	types "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/opencontainers/go-digest"

	"github.com/wherry-containers/wherry/buildah/solver"
)

// Bounds of what others hand us.
const (
	maxDocument = 8 << 20 // bytes of a manifest, a configuration or a list of records
	maxRecords  = 100_000
	maxLayers   = 10_000
	maxStack    = 500 // layers of one result
)

// asSelector marks the link from a record to the one whose key counts in what stands on it.
const asSelector = "wherry.as"

// result is what a cache says of one key.
type result struct {
	as     digest.Digest
	layers []digest.Digest // blobs, the lowest first
}

// marshal writes records in BuildKit's form. index has the place of a layer in the list of all of them; what has a layer
// outside of it is left out.
func marshal(list []solver.Known, index map[string]int) []types.CacheRecord {
	at := map[digest.Digest]int{}
	var out []types.CacheRecord
	add := func(key digest.Digest, stack []int) int {
		if i, ok := at[key]; ok {
			return i
		}
		at[key] = len(out)
		out = append(out, types.CacheRecord{Digest: key, ChainedResults: []types.ChainedResult{{LayerIndexes: stack}}})
		return at[key]
	}
	for _, k := range list {
		stack := make([]int, 0, len(k.Layers))
		for _, id := range k.Layers {
			if i, ok := index[id]; ok {
				stack = append(stack, i)
			}
		}
		if len(stack) != len(k.Layers) {
			continue
		}
		as := add(k.As, stack)
		for _, key := range k.Keys {
			if i := add(key, stack); i != as {
				out[i].Inputs = [][]types.CacheInput{{{Selector: asSelector, LinkIndex: as}}}
			}
		}
	}
	return out
}

// parse reads a cache configuration. Records that are not ours, or that name what is not there, are passed over.
func parse(data []byte) (map[digest.Digest]result, error) {
	var c types.CacheConfig
	if len(data) > maxDocument {
		return nil, fmt.Errorf("the cache's records are too large (%d bytes)", len(data))
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("the cache's records: %w", err)
	}
	return results(c)
}

func results(c types.CacheConfig) (map[digest.Digest]result, error) {
	if len(c.Records) > maxRecords || len(c.Layers) > maxLayers {
		return nil, fmt.Errorf("the cache has too many records or layers (%d, %d)", len(c.Records), len(c.Layers))
	}
	if slices.ContainsFunc(c.Layers, func(l types.CacheLayer) bool { return !valid(l.Blob) }) {
		return nil, fmt.Errorf("the cache names a layer by what is no digest")
	}
	out := map[digest.Digest]result{}
	for _, r := range c.Records {
		as, ours := countsAs(c.Records, r)
		if !ours || len(r.ChainedResults) != 1 || len(r.ChainedResults[0].LayerIndexes) > maxStack {
			continue
		}
		stack, ok := blobs(c.Layers, r.ChainedResults[0].LayerIndexes)
		if ok {
			out[r.Digest] = result{as: as, layers: stack}
		}
	}
	return out, nil
}

func valid(d digest.Digest) bool { return d.Validate() == nil && d.Algorithm() == digest.SHA256 }

// countsAs is the key by which a record counts in what stands on it, and whether it looks like one of ours.
func countsAs(all []types.CacheRecord, r types.CacheRecord) (digest.Digest, bool) {
	as := r.Digest
	if len(r.Inputs) > 0 {
		if len(r.Inputs) != 1 || len(r.Inputs[0]) != 1 || r.Inputs[0][0].Selector != asSelector {
			return "", false
		}
		link := r.Inputs[0][0].LinkIndex
		if link < 0 || link >= len(all) {
			return "", false
		}
		as = all[link].Digest
	}
	return as, valid(r.Digest) && valid(as)
}

func blobs(layers []types.CacheLayer, indexes []int) ([]digest.Digest, bool) {
	out := make([]digest.Digest, 0, len(indexes))
	for _, i := range indexes {
		if i < 0 || i >= len(layers) {
			return nil, false
		}
		out = append(out, layers[i].Blob)
	}
	return out, true
}
