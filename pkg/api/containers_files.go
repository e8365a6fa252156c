package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/libpod"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const tarType = "application/x-tar"

// archivePath is the container and the path in it of a request about files.
func (s *Server) archivePath(r *request) (id, path string, err error) {
	if path = r.param("path"); path == "" {
		return "", "", invalid("missing parameter 'path'")
	}
	id, err = s.container(r)
	return id, path, err
}

// archiveStat puts what lies at the path into the header.
func (s *Server) archiveStat(w *response, r *request) (id, path string, err error) {
	if id, path, err = s.archivePath(r); err != nil {
		return "", "", err
	}
	stat, err := s.engine.StatPath(r.Context(), id, path)
	if errors.Is(err, errdefs.ErrNotFound) {
		return "", "", fail(http.StatusNotFound, "Could not find the file %s in container %s", path, r.vars["id"])
	} else if err != nil {
		return "", "", err
	}
	data, err := json.Marshal(container.PathStat{Name: stat.Name(), Size: stat.Size(), Mode: stat.Mode(), Mtime: stat.ModTime(), LinkTarget: stat.Target})
	if err != nil {
		return "", "", err
	}
	w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(data))
	return id, path, nil
}

func (s *Server) archiveHead(w *response, r *request) error {
	if _, _, err := s.archiveStat(w, r); err != nil {
		return err
	}
	return w.empty(http.StatusOK)
}

func (s *Server) archiveGet(w *response, r *request) error {
	id, path, err := s.archiveStat(w, r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", tarType)
	_, err = s.engine.Copy(r.Context(), libpod.CopyPlace{Container: id, Path: path}, libpod.CopyPlace{Path: "-"}, libpod.CopyOptions{Stdout: w})
	return err
}

func (s *Server) archivePut(w *response, r *request) error {
	id, path, err := s.archivePath(r)
	if err != nil {
		return err
	}
	opts := libpod.CopyOptions{Stdin: r.body(w), Overwrite: !r.flag("noOverwriteDirNonDir"), Archive: r.flag("copyUIDGID")}
	_, err = s.engine.Copy(r.Context(), libpod.CopyPlace{Path: "-"}, libpod.CopyPlace{Container: id, Path: path}, opts)
	switch {
	case errors.Is(err, errdefs.ErrNotFound):
		return fail(http.StatusNotFound, "Could not find the file %s in container %s", path, r.vars["id"])
	case errors.Is(err, unix.EROFS):
		return fail(http.StatusForbidden, "container rootfs is marked read-only")
	case err != nil:
		return err
	}
	return w.empty(http.StatusOK)
}

func (s *Server) containerExport(w *response, r *request) error {
	id, err := s.container(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", tarType)
	return s.engine.Export(r.Context(), id, w)
}

// changeKinds are Docker's numbers for what archive.Change says with a letter.
var changeKinds = map[byte]container.ChangeType{'C': container.ChangeModify, 'A': container.ChangeAdd, 'D': container.ChangeDelete}

func (s *Server) containerChanges(w *response, r *request) error {
	id, err := s.container(r)
	if err != nil {
		return err
	}
	changes, err := s.engine.Diff(r.Context(), id)
	if err != nil {
		return err
	}
	docs := make([]container.FilesystemChange, len(changes))
	for i, c := range changes {
		docs[i] = container.FilesystemChange{Kind: changeKinds[c.Kind], Path: c.Path}
	}
	return w.json(http.StatusOK, docs)
}
