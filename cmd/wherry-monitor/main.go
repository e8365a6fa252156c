// Command wherry-monitor stays with one container. It is started by wherry, never by hand.
package main

import (
	"fmt"
	"os"

	"github.com/wherry-containers/wherry/libpod/monitor/server"
)

// version and commit are set by the linker.
var version, commit = "", ""

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("wherry-monitor", version, commit)
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "thaw" {
		server.Thaw(os.Args[2])
		return
	}
	if err := server.Run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "wherry-monitor:", err)
		os.Exit(125)
	}
}
