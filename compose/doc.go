// Package compose is Docker Compose: its own command tree, in process, over the handlers of pkg/api. There is no service and
// no socket file in between.
package compose
