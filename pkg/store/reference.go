package store

import (
	"strings"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

const (
	hubDomain       = "docker.io"
	legacyHubDomain = "index.docker.io"
	localDomain     = "localhost"
	officialPrefix  = "library/"
	defaultTag      = "latest"
	maxRepository   = 255
	maxTag          = 128
)

// Reference is a parsed image name in its full form, by Docker's grammar and defaults.
type Reference struct {
	Domain string // docker.io, quay.io, localhost:5000
	Path   string // library/busybox
	Tag    string // empty only when there is a digest
	Digest string // sha256:..., or empty
	short  bool   // the name was typed without a domain
	tagged bool   // the tag was typed
}

// Repository is the name without tag and digest.
func (r Reference) Repository() string { return r.Domain + "/" + r.Path }

// String is the full form: docker.io/library/busybox:latest, or name[:tag]@digest.
func (r Reference) String() string {
	s := r.Repository()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// ParseReference reads an image name the way Docker does: docker.io and library/ are filled in, and the tag latest
// where there is neither tag nor digest. The error is ErrInvalid and one line.
//
// It is written by hand because github.com/distribution/reference compiles its expressions at start-up, which costs
// about 1 ms in every command; a test compares the two.
func ParseReference(s string) (Reference, error) {
	bad := func(why string) (Reference, error) {
		return Reference{}, errdefs.New(errdefs.ErrInvalid, "invalid image name %q: %s", s, why)
	}
	if s == "" {
		return bad("it is empty")
	}
	if isFullID(s) {
		return bad("64 hexadecimal digits are an id, not a name")
	}
	var r Reference
	var rest string
	r.Domain, rest, r.short = splitDomain(s)
	rest, digest, hasDigest := strings.Cut(rest, "@")
	if hasDigest {
		if why := checkDigest(digest); why != "" {
			return bad(why)
		}
		r.Digest = digest
	}
	path, tag, hasTag := strings.Cut(rest, ":")
	if hasTag {
		if !validTag(tag) {
			return bad("a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of the last two")
		}
		r.Tag, r.tagged = tag, true
	}
	r.Path = path
	if why := checkRepository(r.Domain, path); why != "" {
		return bad(why)
	}
	if !hasTag && !hasDigest {
		r.Tag = defaultTag
	}
	return r, nil
}

// splitDomain separates the registry from the rest; short says that none was typed.
func splitDomain(name string) (domain, rest string, short bool) {
	first, remainder, ok := strings.Cut(name, "/")
	if !ok {
		return hubDomain, officialPrefix + name, true
	}
	switch {
	case first == legacyHubDomain:
		domain, rest = hubDomain, remainder
	case first == localDomain, strings.ContainsAny(first, ".:"), strings.ToLower(first) != first:
		domain, rest = first, remainder
	default:
		domain, rest, short = hubDomain, name, true
	}
	if domain == hubDomain && !strings.Contains(rest, "/") {
		rest = officialPrefix + rest
	}
	return domain, rest, short
}

func checkRepository(domain, path string) string {
	switch {
	case len(path) > maxRepository:
		return "the name is longer than 255 characters"
	case strings.ToLower(path) != path:
		return "the name must be lower case"
	case !validDomain(domain):
		return "the registry is not a host name with an optional port"
	}
	for part := range strings.SplitSeq(path, "/") {
		if !validComponent(part) {
			return "a name is made of lower-case letters and digits, separated by single '.', '_', '__', '-' or '/'"
		}
	}
	return ""
}

// validComponent: alphanumerics separated by one '.', one or two '_', or any number of '-'.
func validComponent(s string) bool {
	if s == "" || !isLowerAlnum(s[0]) || !isLowerAlnum(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		if isLowerAlnum(s[i]) {
			i++
			continue
		}
		j := i
		for j < len(s) && !isLowerAlnum(s[j]) {
			j++
		}
		sep := s[i:j]
		if sep != "." && sep != "_" && sep != "__" && strings.Trim(sep, "-") != "" {
			return false
		}
		i = j
	}
	return true
}

func validTag(s string) bool {
	if s == "" || len(s) > maxTag || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '_' && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}

func validDomain(s string) bool {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		return end >= 2 && strings.Trim(s[1:end], "0123456789abcdefABCDEF:") == "" &&
			(end == len(s)-1 || validPort(s[end+1:]))
	}
	host := s
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if host = s[:i]; !validPort(s[i:]) {
			return false
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(s string) bool {
	if s == "" || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func validPort(s string) bool {
	if len(s) < 2 || s[0] != ':' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// checkDigest says what is wrong with a digest, or nothing.
func checkDigest(s string) string {
	algorithm, hex, _ := strings.Cut(s, ":")
	want := map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}[algorithm]
	switch {
	case want == 0:
		return "a digest starts with sha256:, sha384: or sha512:"
	case len(hex) != want || !isLowerHex(hex):
		return "a " + algorithm + " digest has " + map[int]string{64: "64", 96: "96", 128: "128"}[want] + " lower-case hexadecimal digits"
	}
	return ""
}

func isFullID(s string) bool { return len(s) == 64 && isLowerHex(s) }

func isLowerHex(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool      { return c >= '0' && c <= '9' }
func isLowerAlnum(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' }
func isAlnum(c byte) bool      { return isLowerAlnum(c) || c >= 'A' && c <= 'Z' }
