// Package system holds scenarios: each runs the built wherry as a user would and checks what it did to files, processes,
// mounts and control groups, not what it said.
package system

import (
	"fmt"
	"os"
	"testing"

	"github.com/wherry-containers/wherry/pkg/testkit"
)

var shared *testkit.Store

func TestMain(m *testing.M) {
	if os.Getenv(echoing) != "" {
		echoUDP() // this program is in a container
		return
	}
	if os.Getenv(asking) != "" {
		askKernel() // so is this
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if saidReady() {
		return 0
	}
	store, done, err := testkit.Open("bin")
	if err != nil {
		fmt.Println("skipping the scenarios:", err)
		if os.Getenv("WHERRY_BIN") != "" {
			return 1
		}
		return 0
	}
	defer done()
	shared = store
	return m.Run()
}
