package record

import "github.com/opencontainers/runtime-spec/specs-go"

// Namespaces says which namespaces the container shares with others. The modes are host, container:ID, ns:PATH, or empty
// for one of its own. Security.UserNS has that of the user namespace, Network.Mode that of the network.
type Namespaces struct {
	PID     string            `json:",omitempty"`
	IPC     string            `json:",omitempty"` // also private, shareable and none, which differ in /dev/shm and in who may join
	UTS     string            `json:",omitempty"`
	Sysctls map[string]string `json:",omitempty"` // --sysctl, each of a namespace of the container's own

	// The mapping of a user namespace whose ids were settled at create (--uidmap, --userns auto). HostID is an id of the
	// namespace in which wherry works.
	UIDMap []specs.LinuxIDMapping `json:",omitempty"`
	GIDMap []specs.LinuxIDMapping `json:",omitempty"`
}

// Accounts says what is added to the container's /etc/passwd and /etc/group at its start.
type Accounts struct {
	Off       bool     `json:",omitempty"` // add nothing, whatever user it runs as (--passwd=false)
	Passwd    string   `json:",omitempty"` // line for the user, with $USERNAME, $UID, $GID, $NAME and $HOME in it
	Group     string   `json:",omitempty"` // line for the group, with $GROUPNAME, $GID and $USERLIST in it
	HostUsers []string `json:",omitempty"` // names of users of the host whose lines are copied
}
