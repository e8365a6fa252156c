package server

import (
	"os"
	"strconv"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
)

// writePidFiles writes the files that --pidfile and --conmon-pidfile name, at each start anew.
func (s *Server) writePidFiles() {
	for path, pid := range map[string]int{s.job.Lifecycle.PIDFile: s.live.Pid, s.job.Lifecycle.MonitorPIDFile: os.Getpid()} {
		if path == "" {
			continue
		}
		if err := atomicfile.Write(path, strconv.AppendInt(nil, int64(pid), 10), 0o644, atomicfile.Volatile); err != nil {
			s.warn("write the pid file: %v", err)
		}
	}
}
