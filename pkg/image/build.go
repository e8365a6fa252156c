package image

import "github.com/containers/storage"

// Storage is the open store, for a build, which makes layers itself. It is closed with the session.
func (s *Session) Storage() storage.Store { return s.store }
