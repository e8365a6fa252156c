package rootless

import "testing"

// FuzzMappings: what the kernel, or whoever mounted something in its place, says of a user namespace.
func FuzzMappings(f *testing.F) {
	f.Add([]byte("0 1000 1\n1 100000 65536\n"))
	f.Add([]byte("0 -1 x\n4294967296 0 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := len(ParseMappings(data)); n > len(data)/5+1 {
			t.Errorf("%d mappings of %d bytes", n, len(data))
		}
	})
}
