package libpod

import "time"

// Inspect is what `inspect` prints of a container: Docker's document, with Podman's additions at the end.
type Inspect struct {
	ID              string `json:"Id"`
	Created         time.Time
	Path            string
	Args            []string
	State           InspectState
	Image           string // sha256:...
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string // with a leading slash, as Docker has it
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      InspectHostConfig
	GraphDriver     InspectGraphDriver
	SizeRw          *int64 `json:",omitempty"`
	SizeRootFs      *int64 `json:",omitempty"`
	Mounts          []InspectMount
	Config          InspectConfig
	NetworkSettings InspectNetworkSettings
	ImageName       string // Podman's
}

// InspectState is the State of Inspect.
type InspectState struct {
	Status        string
	Running       bool
	Paused        bool
	Restarting    bool
	OOMKilled     bool
	Dead          bool
	Pid           int
	ExitCode      int
	Error         string
	StartedAt     time.Time
	FinishedAt    time.Time
	Health        *InspectHealth `json:",omitempty"`
	ConmonPid     int            // the monitor's; Podman's name
	CgroupPath    string
	StoppedByUser bool
}

// InspectHealth is the State.Health of Inspect.
type InspectHealth struct {
	Status        string
	FailingStreak int
	Log           []InspectHealthLog
}

// InspectHealthLog is one probe.
type InspectHealthLog struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

// InspectConfig is the Config of Inspect.
type InspectConfig struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Healthcheck  *InspectHealthcheck `json:",omitempty"`
	Image        string
	Volumes      map[string]struct{}
	WorkingDir   string
	Entrypoint   []string
	OnBuild      []string
	Labels       map[string]string
	Annotations  map[string]string
	StopSignal   string
	StopTimeout  *int `json:",omitempty"`
}

// InspectHealthcheck is the Config.Healthcheck of Inspect; durations in nanoseconds.
type InspectHealthcheck struct {
	Test          []string
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// InspectHostConfig is the HostConfig of Inspect: the fields that wherry can set.
type InspectHostConfig struct {
	Binds             []string
	ContainerIDFile   string
	LogConfig         InspectLogConfig
	NetworkMode       string
	PortBindings      map[string][]InspectPort
	RestartPolicy     InspectRestartPolicy
	AutoRemove        bool
	CapAdd            []string
	CapDrop           []string
	Dns               []string
	DnsOptions        []string
	DnsSearch         []string
	ExtraHosts        []string
	GroupAdd          []string
	Privileged        bool
	ReadonlyRootfs    bool
	SecurityOpt       []string
	ShmSize           int64
	Runtime           string
	Init              bool
	Resources         `json:",inline"`
	InspectGroup      `json:",inline"`
	InspectNamespaces `json:",inline"`
	InspectRest       `json:",inline"`
}

// InspectLogConfig is HostConfig.LogConfig.
type InspectLogConfig struct {
	Type   string
	Config map[string]string
}

// InspectRestartPolicy is HostConfig.RestartPolicy.
type InspectRestartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// InspectPort is one published port.
type InspectPort struct {
	HostIp   string
	HostPort string
}

// InspectGraphDriver is where the container's layers lie.
type InspectGraphDriver struct {
	Name string
	Data map[string]string
}

// InspectMount is one of Mounts.
type InspectMount struct {
	Type        string
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
	Options     []string
}

// InspectNetworkSettings is the NetworkSettings of Inspect.
type InspectNetworkSettings struct {
	SandboxKey string
	Ports      map[string][]InspectPort
	IPAddress  string
	Gateway    string
	MacAddress string
	Networks   map[string]InspectNetwork

	IPPrefixLen       int
	GlobalIPv6Address string
	IPv6Gateway       string
}

// InspectNetwork is one of NetworkSettings.Networks.
type InspectNetwork struct {
	NetworkID  string
	EndpointID string
	Gateway    string
	IPAddress  string
	MacAddress string
	Aliases    []string

	IPPrefixLen         int
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	IPv6Gateway         string
}
