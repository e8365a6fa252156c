package remote

import "slices"

// does are the commands that a service elsewhere can do; the companion's test compares them with what it has.
var does = []string{
	"attach", "build", "commit", "cp", "create", "diff", "events", "exec", "export", "history", "images", "import", "info", "inspect", "kill", "load", "logs",
	"pause", "port", "ps", "pull", "push", "rename", "restart", "rm", "rmi", "run", "save", "search", "start", "stats", "stop", "tag", "top", "unpause", "update", "version", "wait",
	"container attach", "container commit", "container cp", "container create", "container diff", "container exec", "container export", "container inspect",
	"container kill", "container logs", "container ls", "container pause", "container port", "container prune", "container rename", "container restart",
	"container rm", "container run", "container start", "container stats", "container stop", "container top", "container unpause", "container update", "container wait",
	"image build", "image history", "image import", "image inspect", "image load", "image ls", "image prune", "image pull", "image push", "image rm", "image save", "image tag",
	"network connect", "network create", "network disconnect", "network inspect", "network ls", "network prune", "network rm",
	"volume create", "volume inspect", "volume ls", "volume prune", "volume rm",
	"system df", "system events", "system info",
}

// Does tells whether a service elsewhere can do a command.
func Does(path string) bool { return slices.Contains(does, path) }

// Commands are all of them.
func Commands() []string { return slices.Clone(does) }
