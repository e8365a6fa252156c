package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	engine "github.com/wherry-containers/wherry/pkg/image"
	"github.com/wherry-containers/wherry/pkg/registry/access"
)

// registryAuth is the log-in that a client sends along. Without one those count that are kept here, by wherry login.
func registryAuth(r *request) (access.Options, error) {
	text := r.Header.Get(registry.AuthHeader)
	if text == "" {
		return access.Options{}, nil
	}
	config, err := decodeAuth(text)
	if err != nil {
		return access.Options{}, invalid("invalid %s header: %v", registry.AuthHeader, err)
	}
	return authOptions(config), nil
}

// decodeAuth reads base64url of JSON; some clients leave the padding out, or use the other alphabet.
func decodeAuth(text string) (config registry.AuthConfig, err error) {
	var data []byte
	for _, coding := range []*base64.Encoding{base64.URLEncoding, base64.RawURLEncoding, base64.StdEncoding, base64.RawStdEncoding} {
		if data, err = coding.DecodeString(text); err == nil {
			break
		}
	}
	if err != nil {
		return config, errors.New("it is not base64")
	}
	if len(data) == 0 || string(data) == "null" {
		return config, nil
	}
	if json.Unmarshal(data, &config) != nil {
		return config, errors.New("it is not JSON") // what it holds is secret: the library's error shows some of it
	}
	return config, nil
}

func authOptions(c registry.AuthConfig) access.Options {
	var opts access.Options
	if c.Username == "" && c.Auth != "" {
		if plain, err := base64.StdEncoding.DecodeString(c.Auth); err == nil {
			opts.Creds = string(plain)
		}
	}
	if c.Username != "" {
		opts.Creds = c.Username + ":" + c.Password
	}
	opts.Token, opts.Bearer = c.IdentityToken, c.RegistryToken
	return opts
}

// auth asks a registry whether it takes a log-in. The client keeps it.
func (s *Server) auth(w *response, r *request) error {
	var config registry.AuthConfig
	if err := r.decode(w, &config); err != nil {
		return err
	}
	if config.Username == "" {
		return invalid("username is missing")
	}
	if err := engine.CheckLogin(r.Context(), s.imageConfig(), config.ServerAddress, config.Username, config.Password); err != nil {
		return fail(http.StatusUnauthorized, "%s", err)
	}
	return w.json(http.StatusOK, registry.AuthResponse{Status: "Login Succeeded"})
}

// distribution is what a registry says of an image.
func (s *Server) distribution(w *response, r *request) error {
	opts, err := registryAuth(r)
	if err != nil {
		return err
	}
	found, err := engine.Inspect(r.Context(), s.imageConfig(), r.vars["name"], opts)
	if err != nil {
		return err
	}
	doc := registry.DistributionInspect{
		Descriptor: ocispec.Descriptor{MediaType: found.MediaType, Digest: digest.Digest(found.Digest), Size: int64(found.Size)},
		Platforms:  []ocispec.Platform{},
	}
	for _, p := range found.Platforms {
		doc.Platforms = append(doc.Platforms, ocispec.Platform{OS: p.OS, Architecture: p.Arch, Variant: p.Variant})
	}
	return w.json(http.StatusOK, doc)
}
