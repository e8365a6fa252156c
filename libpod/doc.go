// Package libpod is the engine: it creates, starts, stops and removes containers and volumes on the shared store.
package libpod
