//go:build !faultpoint

// Package faultpoint lets a test kill the program, or fail a write, after a named step. Without the build tag
// "faultpoint" every function here is empty and costs nothing.
package faultpoint

// Hit marks the step name as done.
func Hit(name string) {}

// Err returns the error that a test wants the step name to end with.
func Err(name string) error { return nil }
