// Command early shows what its hook saw before the runtime started.
package main

import (
	"fmt"
	"os"
	"syscall"
	_ "unsafe" // for go:linkname

	"github.com/wherry-containers/wherry/pkg/earlystart"
)

//go:linkname hook github.com/wherry-containers/wherry/pkg/earlystart.hook
var hook = early

var (
	ran, argc, euid uintptr
	value           [16]byte
)

//go:nosplit
//go:norace
func early(s earlystart.Stack) {
	ran = 5
	s.Forget() // ran is 0 again
	ran++
	argc = s.Argc()
	euid = s.Aux(earlystart.AuxEUID)
	if v := s.Getenv("EARLY_VALUE"); v.Present() {
		for i := uintptr(0); i < uintptr(len(value)) && v.At(i) != 0; i++ {
			value[i] = v.At(i)
		}
	}
	if s.Arg(1).Is("exit") {
		earlystart.Syscall(syscall.SYS_EXIT_GROUP, 7, 0, 0, 0, 0, 0)
	}
	if s.Arg(1).Is("wait") {
		s.WaitForever()
	}
}

func main() {
	fmt.Println(ran, argc, euid == uintptr(os.Geteuid()), string(value[:]), len(os.Args), os.Getenv("EARLY_VALUE"))
}
