// Package access says how to talk to a registry. It is apart from package registry so that a list of flags can be
// made without linking the registry client.
package access

// Options are what a user says about a registry on the command line. Zero values: as the configuration says.
type Options struct {
	AuthFile string
	CertDir  string
	Creds    string // user[:password]
	// Token is what a registry gave in place of a password; Bearer one that it takes as it is.
	Token, Bearer string
	TLSVerify     *bool // nil: as registries.conf says; a registry on the loopback interface may speak plain HTTP
}
