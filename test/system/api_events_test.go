package system

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

type apiEvent struct {
	Type, Action     string
	Status, ID, From string
	Actor            struct {
		ID         string
		Attributes map[string]string
	}
	Scope    string
	Time     int64
	TimeNano int64
}

// listen opens the stream of events; next waits for the following one.
func (r *restService) listen(filters string) (next func() apiEvent) {
	r.t.Helper()
	ctx := within(r.t, 20*time.Second)
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://api/v1.51/events?filters="+url.QueryEscape(filters), nil)
	answer, err := r.http.Do(req)
	if err != nil || answer.StatusCode != http.StatusOK {
		r.t.Fatalf("events: %v, %v", answer, err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	dec := json.NewDecoder(answer.Body)
	return func() (e apiEvent) {
		r.t.Helper()
		if err := dec.Decode(&e); err != nil {
			r.t.Fatalf("no event: %v", err)
		}
		return e
	}
}

// Once the answer's header is there no event is lost, whoever makes it, and each has Docker's fields.
func TestAPIEventsOfContainer(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	name := shared.Name(t)
	next := api.listen(fmt.Sprintf(`{"container":[%q]}`, name))
	cid := shared.Must(t, "run", "-d", "--label", "a=b", "--name", name, testkit.Image, "sh", "-c", "exit 3")
	for _, action := range []string{"create", "start", "die"} {
		e := next()
		if e.Type != "container" || e.Action != action || e.Actor.ID != cid || e.Actor.Attributes["name"] != name || e.Actor.Attributes["a"] != "b" ||
			e.Scope != "local" || e.Status != action || e.ID != cid || e.From == "" || e.Time == 0 || e.TimeNano/1e9 != e.Time {
			t.Errorf("event %+v, want %s", e, action)
		}
		if action == "die" && e.Actor.Attributes["exitCode"] != "3" {
			t.Errorf("no exit code: %+v", e)
		}
	}
}

// Networks and volumes have events of their own.
func TestAPIEventsOfNetworks(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	next := api.listen(`{"network":["api-heard"],"type":["network"]}`)
	t.Cleanup(func() { shared.Try(t, "network", "rm", "-f", "api-heard") })
	shared.Must(t, "network", "create", "api-heard")
	cid := shared.Must(t, "create", "--name", shared.Name(t), testkit.Image)
	shared.Must(t, "network", "connect", "api-heard", cid)
	shared.Must(t, "network", "disconnect", "api-heard", cid)
	shared.Must(t, "network", "rm", "api-heard")
	for _, action := range []string{"create", "connect", "disconnect", "destroy"} {
		e := next()
		if e.Type != "network" || e.Action != action || len(e.Actor.ID) != 64 || e.Actor.Attributes["name"] != "api-heard" || e.Actor.Attributes["type"] != "bridge" {
			t.Errorf("event %+v, want %s", e, action)
		}
		if linked := action == "connect" || action == "disconnect"; linked && e.Actor.Attributes["container"] != cid {
			t.Errorf("no container: %+v", e)
		}
	}
}

// What has happened is told from since to until, and the stream ends there.
func TestAPIEventsPast(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	since := time.Now()
	shared.Must(t, "volume", "create", "api-past")
	shared.Must(t, "volume", "rm", "api-past")
	stamp := func(at time.Time) string { return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()) }
	_, data := api.do("GET", "/events?since="+stamp(since)+"&until="+stamp(time.Now())+"&filters="+url.QueryEscape(`{"volume":["api-past"]}`), nil)
	dec, got := json.NewDecoder(bytes.NewReader(data)), ""
	for dec.More() {
		var e apiEvent
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		got += e.Action + " "
	}
	if got != "create destroy " {
		t.Errorf("events %q: %s", got, data)
	}
}

// A filter by what a docker without a swarm never tells of lets nothing through; wrong ones are refused.
func TestAPIEventsBadInput(t *testing.T) {
	t.Parallel()
	api := startREST(t, shared)
	until := fmt.Sprint(time.Now().Unix() - 1)
	if status, data := api.do("GET", "/events?since=0&until="+until+"&filters="+url.QueryEscape(`{"daemon":["x"]}`), nil); status != http.StatusOK || len(data) != 0 {
		t.Errorf("events of a daemon: status %d: %s", status, data)
	}
	api.refused(http.StatusBadRequest, "invalid filter 'colour'", "GET", "/events?filters="+url.QueryEscape(`{"colour":["red"]}`), nil)
	api.refused(http.StatusBadRequest, "invalid filter", "GET", "/events?filters=x", nil)
	api.refused(http.StatusBadRequest, "invalid since", "GET", "/events?since=yesterday", nil)
	api.refused(http.StatusBadRequest, "cannot be after", "GET", "/events?since=2000000&until=1000000", nil)
}
