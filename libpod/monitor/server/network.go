package server

import (
	"encoding/json"
	"os"

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
	var attachment struct{ Leftovers []string }
	if err := json.Unmarshal(data, &attachment); err != nil {
		s.warn("networks: %v", err)
	}
	for _, path := range attachment.Leftovers {
		os.Remove(path)
	}
	faultpoint.Hit("monitor.leases")
	os.Remove(s.job.Network)
}
