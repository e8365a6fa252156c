// Command wherry-init is a first process. Of a container made with --init: it starts the command given after "--",
// passes signals on to it, reaps what is orphaned, and exits as the command does. All of that runs before the Go runtime
// starts (package earlystart), so that it costs a few pages of memory. Of a step of a build ("keep"): it starts the OCI
// runtime in a namespace of processes that ends with the builder.
package main

import "os"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "keep" {
		os.Exit(keep(os.Args[2:]))
	}
	// Reached only by a binary linked without the entry stub, which cannot do its work.
	os.Stderr.WriteString("wherry-init: built without its entry stub (use make)\n")
	os.Exit(125)
}
