// Package content makes digests of what files hold, so that a build step counts as done already when the same content
// comes in again.
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
