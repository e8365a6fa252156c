package values

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// MinMemory is the smallest memory limit that Docker takes.
const MinMemory = 6 << 20

// Bytes parses 512, 64k, 1.5g or 2GiB; units are powers of 1024.
func Bytes(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 || strings.TrimSpace(s) != s {
		return 0, fmt.Errorf("a size looks like 512, 64k, 100m or 1.5g")
	}
	return n, nil
}

// Memory parses the value of --memory; 0 is no limit.
func Memory(s string) (int64, error) {
	n, err := Bytes(s)
	if err != nil {
		return 0, err
	}
	if n != 0 && n < MinMemory {
		return 0, fmt.Errorf("the least is 6m")
	}
	return n, nil
}

// MemorySwap parses the value of --memory-swap, memory and swap together; -1 is unlimited.
func MemorySwap(s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	return Bytes(s)
}

// CPUs parses 1.5 into billionths of a processor.
func CPUs(s string) (int64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1<<20 {
		return 0, fmt.Errorf("a number of processors looks like 0.5 or 2")
	}
	return int64(math.Round(f * 1e9)), nil
}

// CPUSet checks a list of processors like 0-3,5.
func CPUSet(s string) error {
	for _, part := range strings.Split(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a {
			return fmt.Errorf("a list of processors looks like 0-3,5")
		}
	}
	return nil
}

// PidsLimit parses a number of processes; 0 and -1 are unlimited.
func PidsLimit(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("a number of processes is expected, or -1 for unlimited")
	}
	if n == 0 {
		n = -1
	}
	return n, nil
}

// Count parses a whole number that is not negative.
func Count(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("a whole number is expected")
	}
	return int(n), nil
}

// CPUShares parses a weight of processor time; 0 is the default.
func CPUShares(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n != 0 && n < 2 || n > 262144 {
		return 0, fmt.Errorf("a number from 2 to 262144 is expected")
	}
	return n, nil
}

// OOMScoreAdj parses a number from -1000 to 1000.
func OOMScoreAdj(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < -1000 || n > 1000 {
		return 0, fmt.Errorf("a number from -1000 to 1000 is expected")
	}
	return n, nil
}
