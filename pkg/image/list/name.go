package list

import "strings"

// Name is a stored name in the parts that a list shows.
type Name struct {
	Repository string // as users write it: busybox, quay.io/a/b
	Tag        string // empty for a name with a digest
	Digest     string // sha256:...
	full       string
}

// ParseName takes a full name apart. Stored names are in their full form, so no grammar is needed.
func ParseName(full string) Name {
	n := Name{full: full}
	rest, digest, _ := strings.Cut(full, "@")
	n.Digest = digest
	if colon := strings.LastIndex(rest, ":"); colon > strings.LastIndex(rest, "/") {
		rest, n.Tag = rest[:colon], rest[colon+1:]
	}
	n.Repository = Familiar(rest)
	return n
}

// Familiar is a repository as Docker's users write it.
func Familiar(repository string) string {
	if rest, ok := strings.CutPrefix(repository, "docker.io/"); ok {
		return strings.TrimPrefix(rest, "library/")
	}
	return repository
}

// String is the name as users write it.
func (n Name) String() string {
	switch {
	case n.Digest != "":
		return n.Repository + "@" + n.Digest
	case n.Tag != "":
		return n.Repository + ":" + n.Tag
	}
	return n.Repository
}

// forms are the ways to write the name that a pattern may mean, as in Docker: with and without tag, short and full.
func (n Name) forms() []string {
	repository, _, _ := strings.Cut(n.full, "@")
	if n.Tag != "" {
		repository = strings.TrimSuffix(repository, ":"+n.Tag)
	}
	return []string{n.Repository, n.String(), repository, n.full}
}
