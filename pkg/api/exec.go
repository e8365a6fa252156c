package api

func execRoutes() []route { return nil }

// execTable knows the exec sessions that were made over this server.
type execTable struct{}

func newExecTable() *execTable { return &execTable{} }

func (*execTable) of(string) []string { return nil }
