// Package values parses the values of flags: sizes, mounts, limits, environment, addresses. Its errors say what is
// wrong with the value; cmdkit puts the flag's name and the value in front.
package values
