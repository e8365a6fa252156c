package cmdkit

import (
	"slices"
	"strings"
)

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}

// checkOperands compares the number of operands with what ArgsUsage says: every word outside brackets is needed,
// a word ending in ... may be repeated, and no word is more than asked for.
func checkOperands(path, argsUsage string, operands []string) error {
	least, most := operandBounds(argsUsage)
	switch {
	case most == 0 && len(operands) > 0:
		return Operandsf("%q takes no operands, not %q", path, operands[0])
	case len(operands) < least:
		return Operandsf("%q needs %s", path, argsUsage)
	case most >= 0 && len(operands) > most:
		return Operandsf("%q takes %s, not %q", path, argsUsage, operands[most])
	}
	return nil
}

// operandBounds is the least and the largest number of operands; -1 is no bound.
func operandBounds(argsUsage string) (least, most int) {
	for _, word := range strings.Fields(argsUsage) {
		optional := strings.HasPrefix(word, "[")
		if !optional {
			least++
		}
		if strings.Contains(word, "...") {
			most = -1
		}
		if most >= 0 {
			most++
		}
	}
	return least, most
}
