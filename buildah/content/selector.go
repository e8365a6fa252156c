// Package content looks at file trees: which files there are, what a selector chooses among them, and a digest of what
// is chosen that does not change when files are merely touched, so that a build step counts as done already when the
// same content comes in again.
//
// A tree's content is hostile. It is opened one name at a time below a directory that is held open, and links are
// followed by this package alone, inside the tree.
package content

// Selector names the part of a tree that an operation reads. The zero value is the whole tree.
type Selector struct {
	Path            string // below the root; empty or / is the whole tree
	FollowLinks     bool   // when the last element of Path is a link, what it points to counts
	Wildcard        bool   // Path has wildcards
	IncludePatterns []string
	ExcludePatterns []string
	RequiredPaths   []string // of those, the ones that must match something
}
