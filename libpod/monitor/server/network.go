package server

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/pkg/faultpoint"
)

// dropNetwork takes away what says that the container is on its networks: its leases, its names, its ports. The interfaces
// go with the network namespace, when this process, which holds it, ends. The caller holds the container's lock.
func (s *Server) dropNetwork() {
	if s.job.Network == "" {
		return
	}
	data, err := os.ReadFile(s.job.Network)
	if err != nil {
		return
	}
	var attachment struct{ Leftovers, AtEnd []string }
	if err := json.Unmarshal(data, &attachment); err != nil {
		s.warn("networks: %v", err)
	}
	for _, path := range attachment.Leftovers {
		os.Remove(path)
	}
	faultpoint.Hit("monitor.leases")
	if len(attachment.AtEnd) == 0 {
		os.Remove(filepath.Join(filepath.Dir(s.job.Network), "."+filepath.Base(s.job.Network)+".tmp")) // of a killed writer
		os.Remove(s.job.Network)
		return
	}
	// Plugins that are not ours have to be told, which takes a program.
	ended := filepath.Join(filepath.Dir(filepath.Dir(s.job.Network)), "ended", filepath.Base(s.job.Network))
	if err := os.Rename(s.job.Network, ended); err != nil {
		s.warn("networks: %v", err)
	}
	s.launch(attachment.AtEnd)
}
