package export

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// settings are an output's attributes.
type settings struct {
	names     []string // as given
	push      bool
	byDigest  bool
	insecure  bool
	store     bool
	canonical bool
	layout    bool // of oci: files in place of a tar archive

	compression  compression
	ociTypes     *bool
	ociArtifact  *bool
	inlineAttest bool
	rewrite      bool
	epoch        *time.Time
	epochGiven   bool
	annotations  annotationsGroup

	prefix string // of attestations' names
	split  *bool  // a directory a platform
	delete bool   // of local: what else is in the directory goes

	list string // that the images are added to

	meta map[string][]byte // the rest: for the result's metadata
}

// ListKey is an attribute of ours: the manifest list of the store that images are added to.
const ListKey = "wherry.list"

// flag is a setting that is true or false; without a value it is true.
func flag(key, value string) (bool, error) {
	if value == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, errdefs.New(errdefs.ErrInvalid, "output option %s=%s: want true or false", key, value)
	}
	return b, nil
}

// parse reads the attributes of an output.
func parse(r Request) (settings, error) {
	s := settings{store: r.Type == client.ExporterImage, push: r.Type == registryType, compression: compression{kind: gzipKind},
		inlineAttest: r.Type == client.ExporterImage || r.Type == registryType, meta: map[string][]byte{}}
	var known map[string]func(string) error
	switch r.Type {
	case client.ExporterImage, registryType:
		known = s.imageKeys()
	case client.ExporterOCI, client.ExporterDocker:
		known = s.archiveKeys(r.Type)
	case client.ExporterLocal, client.ExporterTar:
		known = s.treeKeys()
	default:
		return s, errdefs.New(errdefs.ErrUnsupported, "output type %q is not known (want image, registry, oci, docker, local or tar)", r.Type)
	}
	for key, value := range r.Attrs {
		if set, ok := known[key]; ok {
			if err := set(value); err != nil {
				return s, err
			}
			continue
		}
		annotation, isAnnotation, err := exptypes.ParseAnnotationKey(key)
		switch {
		case err != nil:
			return s, errdefs.New(errdefs.ErrInvalid, "output option %s: %v", key, err)
		case isAnnotation:
			s.annotations = s.annotations.add(annotation, value)
		default:
			s.meta[key] = []byte(value)
		}
	}
	return s, s.check()
}

func (s *settings) check() error {
	oci := s.ociTypes == nil || *s.ociTypes
	switch {
	case s.compression.kind == zstdKind && !oci:
		return errdefs.New(errdefs.ErrInvalid, `output option "compression=zstd" conflicts with "oci-mediatypes=false"`)
	case s.ociArtifact != nil && *s.ociArtifact && !oci:
		return errdefs.New(errdefs.ErrInvalid, `output option "oci-artifact=true" conflicts with "oci-mediatypes=false"`)
	case s.push && len(s.names) == 0:
		return errdefs.New(errdefs.ErrInvalid, "pushing needs a name (add --tag HOST/NAME:TAG, or name= to the output)")
	}
	return nil
}

// into makes a setter of a flag.
func into(key string, to *bool) func(string) error {
	return func(value string) (err error) {
		*to, err = flag(key, value)
		return err
	}
}

func intoOptional(key string, to **bool) func(string) error {
	return func(value string) error {
		b, err := flag(key, value)
		*to = &b
		return err
	}
}

// commonKeys are those of everything that is an image.
func (s *settings) commonKeys() map[string]func(string) error {
	ignored := false
	return map[string]func(string) error{
		string(exptypes.OptKeyName):                    s.setNames,
		string(exptypes.OptKeyOCITypes):                intoOptional("oci-mediatypes", &s.ociTypes),
		string(exptypes.OptKeyOCIArtifact):             intoOptional("oci-artifact", &s.ociArtifact),
		string(exptypes.OptKeyForceInlineAttestations): into("attestation-inline", &s.inlineAttest),
		string(exptypes.OptKeyRewriteTimestamp):        into("rewrite-timestamp", &s.rewrite),
		string(exptypes.OptKeySourceDateEpoch):         s.setEpoch,
		string(exptypes.OptKeyLayerCompression):        s.compression.setKind,
		string(exptypes.OptKeyForceCompression):        into("force-compression", &s.compression.force),
		string(exptypes.OptKeyCompressionLevel):        s.compression.setLevel,
		// Layers are distributable here: containers/storage keeps none that were left at another place.
		string(exptypes.OptKeyPreferNondistLayers): into("prefer-nondist-layers", &ignored),
	}
}

func (s *settings) imageKeys() map[string]func(string) error {
	keys, ignored := s.commonKeys(), false
	keys[string(exptypes.OptKeyPush)] = into("push", &s.push)
	keys[string(exptypes.OptKeyPushByDigest)] = into("push-by-digest", &s.byDigest)
	keys[string(exptypes.OptKeyInsecure)] = into("registry.insecure", &s.insecure)
	keys[string(exptypes.OptKeyStore)] = into("store", &s.store)
	keys[string(exptypes.OptKeyUnpack)] = into("unpack", &ignored) // the store's images always are
	keys[ListKey] = func(v string) error { s.list = v; return nil }
	keys[string(exptypes.OptKeyNameCanonical)] = into("name-canonical", &s.canonical)
	// An image without a name needs no stand-in for one: the store finds it by its id.
	keys[string(exptypes.OptKeyDanglingPrefix)] = func(string) error { return nil }
	keys[string(exptypes.OptKeyDanglingEmptyOnly)] = into("danging-name-empty-only", &ignored)
	return keys
}

func (s *settings) archiveKeys(kind string) map[string]func(string) error {
	keys := s.commonKeys()
	keys["tar"] = func(value string) error {
		isTar, err := flag("tar", value)
		s.layout = !isTar
		return err
	}
	return keys
}

func (s *settings) treeKeys() map[string]func(string) error {
	return map[string]func(string) error{
		string(exptypes.OptKeySourceDateEpoch): s.setEpoch,
		"attestation-prefix":                   func(v string) error { s.prefix = v; return nil },
		"platform-split":                       intoOptional("platform-split", &s.split),
		"mode": func(v string) error {
			mode, err := client.ParseLocalExporterMode(v)
			s.delete = mode == client.LocalExporterModeDelete
			return err
		},
	}
}

func (s *settings) setNames(value string) error {
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(s.names, name) {
			s.names = append(s.names, name)
		}
	}
	return nil
}

// setEpoch: an empty value says that the build's own does not count.
func (s *settings) setEpoch(value string) error {
	s.epochGiven = true
	if value == "" {
		return nil
	}
	t, err := parseEpoch(value)
	s.epoch = t
	return err
}

func parseEpoch(value string) (*time.Time, error) {
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return nil, errdefs.New(errdefs.ErrInvalid, "SOURCE_DATE_EPOCH %q is no number of seconds", value)
	}
	t := time.Unix(seconds, 0).UTC()
	return &t, nil
}
