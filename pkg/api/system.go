package api

import (
	"io"
	"net/http"
)

func systemRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_ping", handle: (*Server).ping},
	}
}

func (s *Server) ping(w *response, r *request) error {
	h := w.Header()
	h.Set("Builder-Version", "1") // 2 is BuildKit over /session, which /build also speaks
	h.Set("Swarm", "inactive")
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		h.Set("Content-Length", "0")
		return w.empty(http.StatusOK)
	}
	w.WriteHeader(http.StatusOK)
	io.WriteString(w, "OK")
	return nil
}
