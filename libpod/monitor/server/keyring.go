package server

import "golang.org/x/sys/unix"

// keyring is the name of the session keyring that a user's containers share.
const keyring = "wherry"

// Permissions of keys, from the kernel's linux/key.h: all for who possesses it, and for its user what finding it by name
// and joining it takes.
const keyringPerm = 0x3f000000 | 0x001f0000

// joinKeyring leaves the session keyring of whoever started us, which the container would inherit. A keyring per container
// would use up a user's 200 keys (kernel.keys.maxkeys). A kernel without keys, or a full quota, is no reason not to start.
func joinKeyring() {
	id, err := unix.KeyctlJoinSessionKeyring(keyring)
	if err == nil {
		unix.KeyctlSetperm(id, keyringPerm)
	}
}
