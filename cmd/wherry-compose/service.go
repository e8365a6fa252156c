package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wherry-containers/wherry/cmd/wherry/cmdkit"
	"github.com/wherry-containers/wherry/cmd/wherry/container"
	"github.com/wherry-containers/wherry/cmd/wherry/system"
	"github.com/wherry-containers/wherry/pkg/api"
	"github.com/wherry-containers/wherry/pkg/errdefs"
	"github.com/wherry-containers/wherry/pkg/idlemem"
	"github.com/wherry-containers/wherry/pkg/rootless"
)

// service is `wherry system service`.
func service(ctx context.Context, env *cmdkit.Env, opts system.ServiceOptions) error {
	debug.SetGCPercent(50) // it stays: what it holds counts more than how fast it is
	runtime.GC()
	inherited, err := inheritedSockets(env.Getenv)
	if err != nil {
		return err
	}
	if opts.URI == "" && len(inherited) == 0 {
		opts.URI = "unix://" + env.Dirs.Socket()
	}
	listeners := inherited
	if opts.URI != "" && opts.URI != "fd://" {
		l, err := listen(env, opts)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
	}
	if len(listeners) == 0 {
		return errdefs.New(errdefs.ErrInvalid, "fd://: nobody handed a socket down (systemd does for a unit with a .socket)")
	}
	server := api.New(apiOptions(env))
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGHUP) // caught, not ignored: children would ignore them too
	tellSystemd(env.Getenv("NOTIFY_SOCKET"))
	// What is meant for the service must not reach a container's runtime.
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"} {
		os.Unsetenv(name)
	}
	return server.Serve(ctx, api.ServeOptions{Idle: opts.Idle, Rest: idlemem.Release, Current: rootless.Current}, listeners...)
}

// apiOptions are those of a server on the user's store.
func apiOptions(env *cmdkit.Env) api.Options {
	return api.Options{Engine: container.Engine(env), Dirs: env.Dirs, Getenv: env.Getenv, Version: env.Version, Commit: env.Commit, Warn: env.Warn,
		EventsBackend: env.EventsBackend, Build: newBuilder(env).dial}
}

// inheritedSockets are those that systemd hands down from descriptor 3 on. The process may have been replaced or begun
// again on the way into the user namespace, so the pid may be that of its parent.
func inheritedSockets(getenv func(string) string) ([]net.Listener, error) {
	n, _ := strconv.Atoi(getenv("LISTEN_FDS"))
	pid, _ := strconv.Atoi(getenv("LISTEN_PID"))
	if n <= 0 || pid != os.Getpid() && pid != os.Getppid() {
		return nil, nil
	}
	var list []net.Listener
	for fd := 3; fd < 3+n; fd++ {
		unix.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "socket of systemd")
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("socket handed down as descriptor %d: %w", fd, err)
		}
		list = append(list, l)
	}
	return list, nil
}

func listen(env *cmdkit.Env, opts system.ServiceOptions) (net.Listener, error) {
	u, err := url.Parse(opts.URI)
	if err != nil {
		return nil, system.ErrNoURI(opts.URI)
	}
	switch {
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
		return listenUnix(u.Path)
	case u.Scheme == "tcp" && u.Port() != "" && (u.Path == "" || u.Path == "/"):
		return listenTCP(env, u.Host, opts)
	}
	return nil, system.ErrNoURI(opts.URI)
}

// listenUnix makes the socket, for the user alone. One that a killed service left is replaced; a lock keeps two that start
// at once apart.
func listenUnix(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, errdefs.New(errdefs.ErrInUse, "a service listens on %s already", path)
	} else if errors.Is(err, unix.ECONNREFUSED) {
		os.Remove(path)
	}
	umask := unix.Umask(0o177)
	defer unix.Umask(umask)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listenTCP(env *cmdkit.Env, address string, opts system.ServiceOptions) (net.Listener, error) {
	secure := opts.CertFile != "" && opts.ClientCA != ""
	switch {
	case !secure && !opts.Insecure:
		return nil, errdefs.New(errdefs.ErrInvalid, "tcp://%s: whoever reaches the port could do whatever you may (give --tls-cert, --tls-key and --tls-client-ca, or a unix socket and ssh; --insecure if you must)", address)
	case secure && opts.Insecure:
		return nil, errdefs.New(errdefs.ErrInvalid, "--insecure and --tls-client-ca do not go together")
	case !secure:
		env.Warn("the service on tcp://" + address + " asks nobody who he is: whoever reaches the port can do whatever you may")
		return net.Listen("tcp", address)
	}
	cert, err := tls.LoadX509KeyPair(opts.CertFile, opts.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	text, err := os.ReadFile(opts.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("--tls-client-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errdefs.New(errdefs.ErrInvalid, "--tls-client-ca %s holds no certificate", opts.ClientCA)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	// HTTP/1.1 only: attach and exec take the connection over.
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// tellSystemd says that the service is ready, to who asked for it (Type=notify).
func tellSystemd(socket string) {
	if socket == "" {
		return
	}
	if socket[0] == '@' {
		socket = "\x00" + socket[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	conn.Write([]byte("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid())))
}
