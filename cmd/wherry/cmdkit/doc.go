// Package cmdkit is what every command of the command line is made of: its surroundings (Env), flags and argument
// forms, usage and exit errors, and the formats of what it prints.
package cmdkit
