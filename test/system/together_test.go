package system

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// Several work on one container at once, each as it likes: nobody hangs or crashes, only errors that make sense come, and
// at the end the container is in one state and whole.
func TestTogetherOnOneContainer(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	s.Must(t, "create", "--name", "a", "--stop-signal", "KILL", testkit.Image, "sleep", "1000")
	id := s.Must(t, "inspect", "--format", "{{.Id}}", "a")
	verbs := [][]string{{"start", id}, {"init", id}, {"stop", id}, {"restart", id}, {"kill", id}, {"rename", id, "a"}, {"rename", id, "b"}, {"exec", id, "true"},
		{"pause", id}, {"unpause", id}, {"ps", "-a"}, {"inspect", id}, {"logs", id}}
	end := time.Now().Add(4 * time.Second)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for time.Now().Before(end) {
				args := verbs[rand.N(len(verbs))]
				r := s.Try(t, args...)
				if !sensible(r) {
					t.Errorf("%v: exit %d %s", args, r.Code, r.Stderr)
				}
			}
		})
	}
	all.Wait()
	if got := s.Must(t, "ps", "-aq", "--no-trunc"); got != id {
		t.Errorf("ps shows %q", got)
	}
	if n := len(entries(s.Data + "/names")); n != 1 {
		t.Errorf("it has %d names: %v", n, entries(s.Data+"/names"))
	}
	s.Must(t, "start", id)
	if !alive(hostPid(t, s, id)) {
		t.Error("it does not run")
	}
	testkit.Eventually(t, "one monitor", func() bool { return len(s.Monitors()) == 1 }) // another one may be at its last words
	checked(t, s)
	s.Must(t, "rm", "-f", id)
	nothingLeft(t, s)
}

// sensible tells whether a command did its work or refused it for what another one did.
func sensible(r testkit.Result) bool {
	if r.Code == 0 {
		return true
	}
	if r.Args[0] == "exec" { // the runtime has its own words for a container that ends meanwhile
		return (r.Code == 137 || r.Code == 255 || r.Code == 125) && !strings.Contains(r.Stderr, "goroutine")
	}
	if r.Code == 137 && r.Stderr == "" {
		return true // a foreground run that another one has killed
	}
	if strings.Count(r.Stderr, "\n") != 1 || r.Code < 0 {
		return false
	}
	for _, why := range []string{"is not running", "running already", "is initialized already", "is paused", "is not paused", "has that name already", "has just ended", "in use", "no container", "is being removed"} {
		if strings.Contains(r.Stderr, why) {
			return true
		}
	}
	return false
}

// The same where it is made and removed as well.
func TestTogetherOnOneName(t *testing.T) {
	t.Parallel()
	s := ownStore(t)
	verbs := [][]string{{"run", "-d", "--name", "a", testkit.Image, "sleep", "1000"}, {"run", "--rm", "--name", "a", testkit.Image, "true"},
		{"create", "--name", "a", testkit.Image, "sleep", "1000"}, {"run", "-d", "--replace", "--name", "a", testkit.Image, "sleep", "1000"},
		{"rm", "-f", "a"}, {"start", "a"}, {"stop", "-t", "0", "a"}, {"rename", "a", "b"}, {"rename", "b", "a"}, {"rm", "-f", "b"},
		{"container", "prune", "-f"}, {"ps", "-a"}, {"system", "check"}}
	end := time.Now().Add(4 * time.Second)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for time.Now().Before(end) {
				args := verbs[rand.N(len(verbs))]
				r := s.Try(t, args...)
				if args[0] != "system" && !sensible(r) {
					t.Errorf("%v: exit %d %s", args, r.Code, r.Stderr)
				}
			}
		})
	}
	all.Wait()
	checked(t, s)
	s.Must(t, "rm", "-f", "a", "b")
	nothingLeft(t, s)
}
