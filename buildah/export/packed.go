package export

import (
	"context"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// assemblePacked makes the images with packed layers, for others.
func (j *job) assemblePacked(ctx context.Context) (*assembled, error) {
	set := packedSet{}
	a, err := j.assemble(ctx, func(ctx context.Context, list []layerInfo) ([]ocispecs.Descriptor, error) {
		var out []ocispecs.Descriptor
		err := j.step(ctx, "exporting layers", func() error {
			packed, err := j.pack(ctx, list, j.settings.compression)
			if err != nil {
				return err
			}
			for i, p := range packed {
				desc := p.Desc
				desc.MediaType = j.settings.compression.of(list[i]).mediaType(j.oci())
				if other, ok := set[desc.Digest]; ok {
					other.file.Close() // the same layer twice
				}
				out, set[desc.Digest] = append(out, desc), p
			}
			return nil
		})
		return out, err
	})
	if err != nil {
		(&assembled{packed: set}).close()
		return nil, err
	}
	a.packed = set
	return a, nil
}
