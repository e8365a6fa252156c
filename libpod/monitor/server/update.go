package server

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/wherry-containers/wherry/libpod/record"
)

// dismissMessenger handles a client that came only to say that the wish has changed. Should it be the first one ever,
// the next is: stdin is not its matter.
func (s *Server) dismissMessenger(c *client) {
	if c.first {
		c.first, s.known = false, false
	}
	s.dropClient(c)
	s.readUpdate()
	if s.phase == waiting && !s.restart.wanted(s.job.Lifecycle, s.end.code) {
		s.finish()
	}
}

// readUpdate takes over what `update` has changed since the container was started. A file that cannot be read changes
// nothing: the engine says so to the next who looks.
func (s *Server) readUpdate() {
	data, err := os.ReadFile(filepath.Join(s.job.Dir, record.UpdateFile))
	if err != nil {
		return
	}
	u := record.Update{}
	if err := json.Unmarshal(data, &u); err != nil || u.Version > record.Version {
		s.warn("%s cannot be read", record.UpdateFile)
		return
	}
	before, _ := json.Marshal(s.job.Health)
	u.ApplyLife(&s.job.Lifecycle, &s.job.Health)
	if after, _ := json.Marshal(s.job.Health); !bytes.Equal(before, after) {
		s.renewHealth()
	}
}

// renewHealth ends the health check that was, and begins the one that is now.
func (s *Server) renewHealth() {
	if s.health != nil {
		s.health.stop(s)
		s.health = nil
		os.Remove(s.runPath(record.HealthFile))
	}
	if s.job.Health == nil {
		return
	}
	if len(s.job.ExecSpec) == 0 {
		s.job.ExecSpec = s.processOfBundle()
	}
	s.health = newHealth(*s.job.Health)
	if s.phase == running && !s.init.exited && !s.live.Initialized {
		s.health.begin(s)
	}
}

// processOfBundle is the container's first process as the runtime was told: what a probe starts from.
func (s *Server) processOfBundle() []byte {
	data, err := os.ReadFile(s.runPath(filepath.Join(record.Bundle, "config.json")))
	if err != nil {
		s.warn("health check: %v", err)
		return nil
	}
	var config struct {
		Process json.RawMessage `json:"process"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		s.warn("health check: %v", err)
	}
	return config.Process
}
