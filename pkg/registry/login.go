package registry

import (
	"context"
	"fmt"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/pkg/docker/config"
	"github.com/containers/image/v5/types"

	"github.com/wherry-containers/wherry/pkg/errdefs"
)

// LoggedIn is the user that is logged in at host; empty: nobody is.
func LoggedIn(sys *types.SystemContext, host string) (string, error) {
	auth, err := config.GetCredentials(sys, host)
	if err != nil {
		return "", fmt.Errorf("read the log-ins: %w", err)
	}
	return auth.Username, nil
}

// Login asks the registry whether it takes the user, and keeps the log-in if so. It returns where it is kept.
func Login(ctx context.Context, sys *types.SystemContext, host, user, password string) (string, error) {
	if err := docker.CheckAuth(ctx, sys, user, password, host); err != nil {
		return "", Explain("log in at", err, Place{Host: host})
	}
	where, err := config.SetCredentials(sys, host, user, password)
	if err != nil {
		return "", fmt.Errorf("keep the log-in of registry %s: %w", host, err)
	}
	return where, nil
}

// Logout forgets the log-in of host.
func Logout(sys *types.SystemContext, host string) error {
	user, err := LoggedIn(sys, host)
	if err != nil {
		return err
	}
	if user == "" {
		return errdefs.New(errdefs.ErrNotFound, "nobody is logged in at registry %s", host)
	}
	if err := config.RemoveAuthentication(sys, host); err != nil {
		return fmt.Errorf("forget the log-in of registry %s: %w", host, err)
	}
	return nil
}

// LogoutAll forgets every log-in.
func LogoutAll(sys *types.SystemContext) error {
	if err := config.RemoveAllAuthentication(sys); err != nil {
		return fmt.Errorf("forget the log-ins: %w", err)
	}
	return nil
}
