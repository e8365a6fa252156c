package control

import (
	"context"
	"slices"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/wherry-containers/wherry/pkg/buildcache"
)

// Cache is the build cache for those who look at it and clear it.
type Cache interface {
	List(ctx context.Context) ([]*buildcache.Entry, error)
	Prune(ctx context.Context, o buildcache.PruneOptions) ([]*buildcache.Entry, error)
}

// DiskUsage lists what the build cache holds.
func (s *Server) DiskUsage(ctx context.Context, req *controlapi.DiskUsageRequest) (*controlapi.DiskUsageResponse, error) {
	now := time.Now()
	match, err := buildcache.ParseFilters(given(req.Filter), now)
	if err != nil {
		return nil, err
	}
	entries, err := s.opts.Cache.List(ctx)
	if err != nil {
		return nil, err
	}
	res := &controlapi.DiskUsageResponse{}
	for _, e := range entries {
		if match(e) && (req.AgeLimit == 0 || now.Sub(e.LastUsed) > time.Duration(req.AgeLimit)) {
			res.Record = append(res.Record, record(e))
		}
	}
	return res, nil
}

// given leaves out empty filters: buildx sends one where its user gave none.
func given(filters []string) []string {
	return slices.DeleteFunc(filters, func(f string) bool { return f == "" })
}

func record(e *buildcache.Entry) *controlapi.UsageRecord {
	return &controlapi.UsageRecord{
		ID: e.ID, InUse: e.InUse, Size: e.Size, Parents: e.Parents, UsageCount: int64(e.Uses), Description: e.Description, RecordType: e.Kind,
		Shared: e.Shared, Mutable: e.Kind == buildcache.KindMount, CreatedAt: timestamppb.New(e.Created), LastUsedAt: timestamppb.New(e.LastUsed),
	}
}

// Prune removes what nobody needs, and tells what it was.
func (s *Server) Prune(req *controlapi.PruneRequest, stream controlapi.Control_PruneServer) error {
	removed, err := s.opts.Cache.Prune(stream.Context(), buildcache.PruneOptions{
		All: req.All, Filters: given(req.Filter), Unused: time.Duration(req.KeepDuration),
		Reserved: req.ReservedSpace, MaxUsed: req.MaxUsedSpace, MinFree: req.MinFreeSpace,
	})
	for _, e := range removed {
		if sendErr := stream.Send(record(e)); sendErr != nil {
			return sendErr
		}
	}
	return err
}
