// Command wherry-init is the first process of a container made with --init: it starts the command given after "--",
// passes signals on to it, reaps what is orphaned, and exits as the command does. All of it runs before the Go runtime
// starts (package earlystart), so that it costs a few pages of memory.
package main

import "os"

// main is reached only by a binary linked without the entry stub, which cannot do its work.
func main() {
	os.Stderr.WriteString("wherry-init: built without its entry stub (use make)\n")
	os.Exit(125)
}
