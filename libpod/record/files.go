package record

// Files of a container's durable directory (layout.Dirs.Container) and of its run directory (ContainerRun).
const (
	ConfigFile = "config.json" // durable: Config
	StateFile  = "state.json"  // durable: State
	UpdateFile = "update.json" // durable: Update; absent until the container is updated
	LogFile    = "ctr.log"     // durable: json-file log, rotated to ctr.log.1, ctr.log.2[.gz]
	UpperDir   = "diff"        // durable: read-write layer
	WorkDir    = "work"        // durable: overlay's work directory

	LiveFile   = "live.json"   // run: Live
	HealthFile = "health.json" // run: HealthState
	AttachSock = "attach.sock" // run: see package monitor
	PidFile    = "pid"         // run: written by the runtime
	Bundle     = "bundle"      // run: holds the runtime's config.json
	MergedDir  = "root"        // run: mount point of the root file system, mounted only in the monitor's namespace
	NetNSFile  = "netns"       // run: the network namespace, mounted there in the same way
)
