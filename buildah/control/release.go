package control

import "errors"

// release lets others remove layers again when no build is left: a server may live long. s.mu is held.
func (s *Server) release() error {
	for _, b := range s.builds {
		if b.job != nil {
			return nil
		}
	}
	return errors.Join(s.worker.Cache.Release(), s.worker.Layers.Release())
}
