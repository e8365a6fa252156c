package api

func containerRoutes() []route { return nil }
