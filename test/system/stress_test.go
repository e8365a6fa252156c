package system

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

// ownStore is a store of the test's own, where --all and prune hurt nobody.
func ownStore(t *testing.T) *testkit.Store {
	t.Helper()
	s, done, err := testkit.Open("bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done)
	return s
}

// nothingLeft checks that no trace of a container is left.
func nothingLeft(t *testing.T, s *testkit.Store) {
	t.Helper()
	for _, dir := range []string{s.Data + "/containers", s.Data + "/names", s.Data + "/trash", s.Run + "/c", s.Run + "/runtime"} {
		if left := entries(dir); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
	testkit.Eventually(t, "all monitors gone", func() bool { return len(s.Monitors()) == 0 })
	checked(t, s)
}

// checked is what system check says when all is well.
func checked(t *testing.T, s *testkit.Store) {
	t.Helper()
	if r := s.Try(t, "system", "check"); r.Code != 0 {
		t.Errorf("system check: exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// meanwhile repeats commands side by side until stop is called, which returns when they have ended. None may fail.
func meanwhile(t *testing.T, s *testkit.Store, commands ...[]string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, args := range commands {
		all.Go(func() {
			for ctx.Err() == nil {
				if r := s.Try(t, args...); r.Code != 0 || strings.Contains(r.Stderr, "panic") {
					t.Errorf("%v beside the others: exit %d %s", args, r.Code, r.Stderr)
					return
				}
				time.Sleep(20 * time.Millisecond) // leaves the processors to the others
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

const (
	stressProcesses = 16
	stressOwn       = 13 // containers of each process with a name of their own: more than 200 in all, a user's keys
	stressCommon    = 2  // names that all of them want
)

// Many at once, with names that collide: no failure but the conflicts, and no trace afterwards.
func TestManyAtOnce(t *testing.T) {
	s := ownStore(t)
	upAs(t, s, "talker", "echo ready; while :; do echo x; sleep 0.05; done")
	for range 3 {
		s.Must(t, "run", testkit.Image, "true") // something to prune
	}
	follow := s.Command(context.Background(), "logs", "-f", "talker")
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	stop := meanwhile(t, s, []string{"ps", "-a"}, []string{"container", "prune", "-f"}, []string{"logs", "--tail", "5", "talker"})
	begun := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	conflicts := 0
	start := func(name string) {
		r := s.Try(t, "run", "-d", "--name", name, testkit.Image, "sleep", "1000")
		mu.Lock()
		defer mu.Unlock()
		if r.Code == 125 && strings.Contains(r.Stderr, "in use") && strings.HasPrefix(name, "common") {
			conflicts++
		} else if r.Code != 0 {
			t.Errorf("run %s: exit %d %s", name, r.Code, r.Stderr)
		}
	}
	for p := range stressProcesses {
		all.Go(func() {
			for i := range stressOwn {
				if i < stressCommon {
					start(fmt.Sprintf("common%d", i))
				}
				start(fmt.Sprintf("c%d-%d", p, i))
			}
		})
	}
	all.Wait()
	t.Logf("started in %v", time.Since(begun))
	if conflicts != (stressProcesses-1)*stressCommon {
		t.Errorf("%d conflicts", conflicts)
	}
	names := strings.Fields(s.Must(t, "ps", "--filter", "name=^c", "--format", "{{.Names}}"))
	if want := stressProcesses*stressOwn + stressCommon; len(names) != want || len(s.Monitors()) != want+1 {
		t.Errorf("%d run with %d monitors, want %d", len(names), len(s.Monitors()), want)
	}
	begun = time.Now()
	for p := range stressProcesses {
		all.Go(func() { // every container twice
			for i := range names {
				if i%(stressProcesses/2) == p%(stressProcesses/2) {
					if r := s.Try(t, "rm", "-f", names[i]); r.Code != 0 {
						t.Errorf("rm -f %s: exit %d %s", names[i], r.Code, r.Stderr)
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("removed in %v", time.Since(begun))
	stop()
	s.Must(t, "rm", "-f", "talker")
	follow.Wait() // ends with its container
	nothingLeft(t, s)
}
