// Command wherry-net serves the names and published ports of one user's containers. It is started by wherry, never by
// hand, with its control socket open (control.ListenFD) and the network namespace of the containers' networks
// (control.NamespaceFD), which real root leaves out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/network/control"
	"github.com/wherry-containers/wherry/network/keeper"
	"github.com/wherry-containers/wherry/network/state"
)

// version and commit are set by the linker.
var version, commit = "", ""

func main() {
	dir := flag.String("dir", "", "directory of the networks' state")
	showVersion := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *showVersion {
		fmt.Println("wherry-net", version, commit)
		return
	}
	// What lives long is small, and what a question needs is garbage at once: collect early rather than grow to 4 MB.
	debug.SetGCPercent(20)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "wherry-net:", err)
		os.Exit(125)
	}
}

func run(ctx context.Context, dir string) error {
	if dir == "" {
		return errors.New("no --dir (wherry starts this program itself)")
	}
	socket := os.NewFile(control.ListenFD, "control socket")
	l, err := net.FileListener(socket)
	if err != nil {
		return fmt.Errorf("descriptor %d is no listening socket (wherry starts this program itself)", control.ListenFD)
	}
	socket.Close()
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return fmt.Errorf("descriptor %d is no unix socket", control.ListenFD)
	}
	return keeper.Run(ctx, keeper.Config{Dir: state.Dir(dir), Control: listener, Namespace: namespace(), Log: os.Stderr,
		Confine: confine, Settle: settle})
}

// namespace is the file of the networks' namespace, nil when there is none.
func namespace() *os.File {
	var st unix.Statfs_t
	if err := unix.Fstatfs(control.NamespaceFD, &st); err != nil || st.Type != unix.NSFS_MAGIC {
		return nil
	}
	return os.NewFile(control.NamespaceFD, "network namespace")
}
