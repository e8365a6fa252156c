// Package trust reads and changes containers-policy.json(5), which says whose images are accepted. It keeps what it does
// not know.
package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wherry-containers/wherry/pkg/atomicfile"
	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// Policy is a policy.json.
type Policy struct {
	Default    []Requirement                       `json:"default"`
	Transports map[string]map[string][]Requirement `json:"transports,omitempty"`
}

// Requirement is one condition, as the file has it.
type Requirement map[string]any

// Names of scopes and transports.
const (
	Default  = "default"
	registry = "docker"
)

// kinds are the types of the file by the words that people type.
var kinds = map[string]string{"accept": "insecureAcceptAnything", "reject": "reject", "signedBy": "signedBy", "sigstoreSigned": "sigstoreSigned"}

// Kinds are the words for what can be asked of an image.
func Kinds() []string { return []string{"accept", "reject", "signedBy", "sigstoreSigned"} }

// Path is the policy in force: the user's own if there is one, else the machine's.
func Path(home string) string {
	own := UserPath(home)
	if _, err := os.Lstat(own); err == nil {
		return own
	}
	return "/etc/containers/policy.json"
}

// UserPath is the user's own policy.
func UserPath(home string) string { return filepath.Join(home, ".config/containers/policy.json") }

// Load reads a policy. Where there is none, everything is accepted.
func Load(path string) (*Policy, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Policy{Default: []Requirement{{"type": kinds["accept"]}}}, nil
	} else if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads the text of a policy; path is for the error.
func Parse(path string, data []byte) (*Policy, error) {
	p := &Policy{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "%s is no signature policy: %v", path, err)
	}
	if len(p.Default) == 0 {
		return nil, errdefs.New(errdefs.ErrInvalid, "%s is no signature policy: it has no default", path)
	}
	return p, nil
}

// Set asks for something of the images of a scope: a registry, a repository, or Default for all others. Keys are files with
// public keys, of which one must have signed.
func (p *Policy) Set(scope, kind string, keys []string) error {
	name, known := kinds[kind]
	signed := kind == "signedBy" || kind == "sigstoreSigned"
	switch {
	case !known:
		return errdefs.New(errdefs.ErrInvalid, "invalid --type %q: want %s", kind, strings.Join(Kinds(), ", "))
	case signed && len(keys) == 0:
		return errdefs.New(errdefs.ErrInvalid, "--type %s needs the public keys: --pubkeysfile FILE", kind)
	case !signed && len(keys) > 0:
		return errdefs.New(errdefs.ErrInvalid, "--pubkeysfile goes with --type signedBy or sigstoreSigned only")
	case strings.ContainsAny(scope, " \t\n\"") || scope == "":
		return errdefs.New(errdefs.ErrInvalid, "%q is no registry or repository (or default, for all others)", scope)
	}
	req := Requirement{"type": name}
	if kind == "signedBy" {
		req["keyType"] = "GPGKeys"
	}
	for i, key := range keys {
		path, err := filepath.Abs(key)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return errdefs.New(errdefs.ErrInvalid, "--pubkeysfile: %v", err)
		}
		keys[i] = path
	}
	switch {
	case len(keys) == 1:
		req["keyPath"] = keys[0]
	case len(keys) > 1:
		req["keyPaths"] = keys
	}
	if scope == Default {
		p.Default = []Requirement{req}
		return nil
	}
	if p.Transports == nil {
		p.Transports = map[string]map[string][]Requirement{}
	}
	if p.Transports[registry] == nil {
		p.Transports[registry] = map[string][]Requirement{}
	}
	p.Transports[registry][scope] = []Requirement{req}
	return nil
}

// Save replaces a policy file whole.
func (p *Policy) Save(path string) error {
	data, err := json.MarshalIndent(p, "", "    ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the signature policy: %w", err)
	}
	return atomicfile.Write(path, append(data, '\n'), 0o644, atomicfile.Durable)
}

// Row is what is asked of the images of one scope.
type Row struct {
	Transport string
	Name      string
	Type      string
	ID        string // names in the keys' files, or the files
	Store     string // where signatures are looked for; empty: at the registry
}

// Rows lists the policy, the default first.
func (p *Policy) Rows() []Row {
	rows := []Row{}
	for _, req := range p.Default {
		rows = append(rows, row("all", Default, req))
	}
	transports := []string{}
	for name := range p.Transports {
		transports = append(transports, name)
	}
	slices.Sort(transports)
	for _, transport := range transports {
		scopes := []string{}
		for scope := range p.Transports[transport] {
			scopes = append(scopes, scope)
		}
		slices.Sort(scopes)
		shown := transport
		if transport == registry {
			shown = "repository" // Podman's word
		}
		for _, scope := range scopes {
			for _, req := range p.Transports[transport][scope] {
				rows = append(rows, row(shown, scope, req))
			}
		}
	}
	return rows
}

func row(transport, scope string, req Requirement) Row {
	r := Row{Transport: transport, Name: scope, Type: fmt.Sprint(req["type"])}
	for word, name := range kinds {
		if name == r.Type {
			r.Type = word
		}
	}
	if path, ok := req["keyPath"].(string); ok {
		r.ID = path
	}
	if paths, ok := req["keyPaths"].([]any); ok {
		list := make([]string, len(paths))
		for i, path := range paths {
			list[i] = fmt.Sprint(path)
		}
		r.ID = strings.Join(list, ", ")
	}
	return r
}
