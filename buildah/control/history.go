package control

import (
	"context"
	"slices"

	controlapi "github.com/moby/buildkit/api/services/control"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ListenBuildHistory tells of the builds of this process that are remembered, and of new ones until the client goes.
func (s *Server) ListenBuildHistory(req *controlapi.BuildHistoryRequest, stream controlapi.Control_ListenBuildHistoryServer) error {
	if err := sendTime(stream); err != nil {
		return err
	}
	if len(req.Filter) > 0 {
		return errNotHere("a filter of the build history")
	}
	told := map[string]controlapi.BuildHistoryEventType{}
	for {
		s.mu.Lock()
		events, more := s.events(req, told), s.more
		s.mu.Unlock()
		for _, e := range events {
			if err := stream.Send(e); err != nil {
				return err
			}
		}
		if req.EarlyExit {
			return nil
		}
		select {
		case <-more:
		case <-stream.Context().Done():
			return context.Cause(stream.Context())
		}
	}
}

// events are those that the listener has not been told of.
func (s *Server) events(req *controlapi.BuildHistoryRequest, told map[string]controlapi.BuildHistoryEventType) []*controlapi.BuildHistoryEvent {
	var out []*controlapi.BuildHistoryEvent
	for _, ref := range slices.Backward(s.order) {
		b := s.builds[ref]
		kind := controlapi.BuildHistoryEventType_STARTED
		if !b.completed.IsZero() {
			kind = controlapi.BuildHistoryEventType_COMPLETE
		}
		before, known := told[ref]
		_, active := told[ref]
		switch {
		case req.Ref != "" && req.Ref != ref, known && before == kind, b.req.Internal:
			continue
		case req.ActiveOnly && kind == controlapi.BuildHistoryEventType_COMPLETE && !active:
			continue
		}
		told[ref] = kind
		out = append(out, &controlapi.BuildHistoryEvent{Type: kind, Record: b.record()})
		if req.Limit > 0 && len(out) == int(req.Limit) {
			break
		}
	}
	return out
}

func (b *build) record() *controlapi.BuildHistoryRecord {
	all, cached, done := b.progress.Steps()
	r := &controlapi.BuildHistoryRecord{
		Ref: b.ref, Frontend: b.req.Frontend, FrontendAttrs: b.req.FrontendAttrs, Exporters: b.req.Exporters, ExporterResponse: b.response,
		CreatedAt: timestamppb.New(b.created), NumTotalSteps: int32(all), NumCachedSteps: int32(cached), NumCompletedSteps: int32(done),
	}
	if !b.completed.IsZero() {
		r.CompletedAt = timestamppb.New(b.completed)
	}
	if b.err != nil {
		st := status.Convert(b.err)
		r.Error = &spb.Status{Code: int32(st.Code()), Message: b.err.Error()}
	}
	return r
}

// UpdateBuildHistory forgets a build. There is nothing to pin: no build is remembered longer than this process lives.
func (s *Server) UpdateBuildHistory(_ context.Context, req *controlapi.UpdateBuildHistoryRequest) (*controlapi.UpdateBuildHistoryResponse, error) {
	if req.Pinned {
		return nil, errNotHere("a pinned build")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.builds[req.Ref]; req.Delete && b != nil && !b.completed.IsZero() {
		delete(s.builds, req.Ref)
		s.order = slices.DeleteFunc(s.order, func(ref string) bool { return ref == req.Ref })
	}
	return &controlapi.UpdateBuildHistoryResponse{}, nil
}
