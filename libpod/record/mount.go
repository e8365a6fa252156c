package record

// Mount is one -v, --mount, --tmpfs, or a volume of the image. What does not belong to its type is empty.
type Mount struct {
	Type        string   // bind, volume, tmpfs, image, devpts, ramfs
	Source      string   // host path, name of the volume, or the image as typed
	Target      string   // absolute path in the container
	ReadOnly    bool     `json:",omitempty"`
	Options     []string `json:",omitempty"` // of the kernel: exec, noexec, nosuid, nodev, size=..., mode=...; and U
	Propagation string   `json:",omitempty"` // rprivate (default), private, shared, rshared, slave, rslave
	NoCopy      bool     `json:",omitempty"` // do not copy the image's content into a new volume
	NonRecurs   bool     `json:",omitempty"` // bind, not rbind
	SubPath     string   `json:",omitempty"` // only this below the source; links in it do not lead out
	MakeSource  bool     `json:",omitempty"` // bind of -v: a missing source becomes a directory, as in Docker
	Anonymous   bool     `json:",omitempty"` // volume made for this container: removed with it by --rm and rm -v
	Below       string   `json:",omitempty"` // how far ReadOnly reaches: readonly, writable; empty: to what is mounted below where the kernel can
	Relabel     string   `json:",omitempty"` // z or Z: give the source SELinux's label for containers

	IDMap string `json:",omitempty"` // idmap: show owners through this mapping, or with "own" that of the container's user namespace

	Overlay     bool   `json:",omitempty"` // O: the container sees an overlay of the source, which it cannot change
	Upper, Work string `json:",omitempty"` // of the overlay, kept by the user; empty: ours, empty at each start

	Driver     string            `json:",omitempty"` // of a volume that is made for the mount; empty: local
	DriverOpts map[string]string `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`

	Image *Image `json:",omitempty"` // what Source was when the container was made
}

// ImageVolume is how --image-volume treats the volumes of the image.
type ImageVolume string

// ImageVolume's values; the zero value is Anonymous.
const (
	ImageVolumeAnonymous ImageVolume = "anonymous"
	ImageVolumeTmpfs     ImageVolume = "tmpfs"
	ImageVolumeIgnore    ImageVolume = "ignore"
)
