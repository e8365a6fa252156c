package container

import (
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
)

// proxies are the variables that --http-proxy passes on, in lower and in upper case.
var proxies = []string{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"}

// envFlags are the flags of the environment that only a new container has.
func (w *wish) envFlags() []cli.Flag {
	onlyProxies := func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return !slices.Contains(proxies, strings.ToLower(name))
	}
	host := func(drop func(string) bool) func(string) error {
		return func(s string) error {
			if s != "true" {
				return nil
			}
			pairs := slices.DeleteFunc(slices.Clone(w.env.environ()), drop)
			w.EnvWish.Host = append(w.EnvWish.Host, pairs...)
			return nil
		}
	}
	all := cmdkit.Func("env-host", "Pass all of the caller's variables on; the image's go before them", host(func(string) bool { return false }))
	proxy := cmdkit.Func("http-proxy", "Pass http_proxy, https_proxy, ftp_proxy, no_proxy and all_proxy of the caller on", host(onlyProxies))
	all.Bool, proxy.Bool = true, true
	return []cli.Flag{
		all, proxy,
		cmdkit.Func("env-merge", "Set `NAME=TEXT`, in which ${NAME} is the image's value", func(s string) error {
			if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
				return errors.New("it looks like NAME=TEXT, as PATH=${PATH}:/opt/bin")
			}
			w.EnvWish.Merge = append(w.EnvWish.Merge, s)
			return nil
		}),
		cmdkit.Strings(&w.EnvWish.Unset, "unsetenv", "Leave the image's variable `NAME` out"),
		cmdkit.Bool(&w.EnvWish.UnsetAll, "unsetenv-all", "Leave all of the image's variables out"),
	}
}
