package gateway

import (
	"github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func workerRecords(workers []client.WorkerInfo) []*moby_buildkit_v1_types.WorkerRecord {
	out := make([]*moby_buildkit_v1_types.WorkerRecord, len(workers))
	for i, w := range workers {
		out[i] = &moby_buildkit_v1_types.WorkerRecord{ID: w.ID, Labels: w.Labels, Platforms: pb.PlatformsFromSpec(w.Platforms)}
	}
	return out
}

// metadata is what is known of a source, for the client.
func metadata(in *sourceresolver.MetaResponse) *gwpb.ResolveSourceMetaResponse {
	out := &gwpb.ResolveSourceMetaResponse{Source: in.Op}
	if i := in.Image; i != nil {
		out.Image = &gwpb.ResolveSourceImageResponse{Digest: string(i.Digest), Config: i.Config}
	}
	if g := in.Git; g != nil {
		out.Git = &gwpb.ResolveSourceGitResponse{
			Checksum: g.Checksum, Ref: g.Ref, CommitChecksum: g.CommitChecksum, CommitObject: g.CommitObject, TagObject: g.TagObject,
		}
	}
	if h := in.HTTP; h != nil {
		out.HTTP = &gwpb.ResolveSourceHTTPResponse{Checksum: h.Digest.String(), Filename: h.Filename}
		if h.LastModified != nil {
			out.HTTP.LastModified = timestamppb.New(*h.LastModified)
		}
	}
	return out
}
