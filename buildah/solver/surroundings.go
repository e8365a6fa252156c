package solver

// Surroundings are what an operation needs from outside.
type Surroundings struct{}
