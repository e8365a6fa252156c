package record

// Network says which network namespace the container has, and what is done in it.
type Network struct {
	// Mode is none, host, bridge (the networks in Ends), pasta or slirp4netns (an uplink of its own), container:ID or
	// ns:PATH. Records of older versions have private: pasta or slirp4netns, what is there.
	Mode       string
	Options    []string     `json:",omitempty"` // arguments of pasta and slirp4netns
	Ends       []NetworkEnd `json:",omitempty"`
	Ports      []Port       `json:",omitempty"` // to publish
	Expose     []string     `json:",omitempty"` // PORT/PROTOCOL, --expose and the image's
	PublishAll bool         `json:",omitempty"`
	Links      []Link       `json:",omitempty"`
	DNS        []string
	Search     []string
	DNSOpts    []string
	Hosts      []string // --add-host, name:ip; the address may be host-gateway
	NoHosts    bool     `json:",omitempty"` // /etc/hosts is the image's
	NoHostname bool     `json:",omitempty"` // /etc/hostname is the image's
	KeepResolv bool     `json:",omitempty"` // --dns none: /etc/resolv.conf is the image's
}

// NetworkEnd is one network that the container is to be on.
type NetworkEnd struct {
	Network   string
	IPs       []string `json:",omitempty"`
	MAC       string   `json:",omitempty"`
	Aliases   []string `json:",omitempty"`
	Interface string   `json:",omitempty"` // in the container
}

// Port is one port to publish. HostPort 0 is any free one; with HostPortEnd the first free one of the range.
type Port struct {
	HostIP        string `json:",omitempty"`
	HostPort      uint16 `json:",omitempty"`
	HostPortEnd   uint16 `json:",omitempty"`
	ContainerPort uint16
	Protocol      string // tcp, udp, sctp
}

// Link is one --link: names that lead to another container.
type Link struct {
	ID    string
	Name  string
	Alias string
}
