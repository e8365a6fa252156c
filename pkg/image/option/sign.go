package option

// Sign is the options of image sign.
type Sign struct {
	By        string // an OpenPGP key: fingerprint or name
	Directory string // where signatures go; empty: where registries.d says
	All       bool   // of a list every image
	AuthFile  string
	CertDir   string
}
