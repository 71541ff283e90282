package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/internal/registry"
)

// pushing is how signatures will be stored.
type pushing struct{ forceReferrersTag bool }

// openTarget is the door to what ref names; push is nil for somebody who only
// reads. Nothing is sent.
func (a *app) openTarget(ref shuin.Reference, r *registryFlags, push *pushing) (target, error) {
	if ref.Layout != "" {
		a.warnSettings()
		layout, err := registry.OpenLayout(ref.Layout)
		if err != nil {
			return nil, err
		}
		return layout, nil
	}
	client := a.clientFor(ref, r, push != nil)
	if push != nil {
		client.ForceReferrersTag = push.forceReferrersTag
	}
	repo, err := client.Repository(ref)
	if err != nil {
		return nil, err
	}
	if push != nil {
		repo = repo.ForPush()
	}
	return repo, nil
}

// clientFor talks to the registry that ref names, with the credentials of the
// flags where they hold some, and to no other with those.
func (a *app) clientFor(ref shuin.Reference, r *registryFlags, pushes bool) *registry.Client {
	client := a.registryClient(r)
	if cred := registry.NewCredential(r.username, r.password); cred.IsZero() {
		a.registryCredentials(client, pushes)
	} else {
		client.Credential = registry.StaticCredential(ref.Registry, cred)
	}
	return client
}

// registryClient talks to registries as the flags and config.json say.
func (a *app) registryClient(r *registryFlags) *registry.Client {
	a.warnSettings()
	client := &registry.Client{
		PlainHTTP: func(host string) bool {
			return registry.PlainHTTP(host, r.insecure, a.settings().insecureRegistries)
		},
		UserAgent: a.userAgent(),
		Warn:      func(message string) { a.warnf("%s", message) },
	}
	if a.log != nil {
		client.Trace = func(text string) { a.log.Debug(text) }
	}
	return client
}

// credentialStore finds credentials where notation does.
func (a *app) credentialStore() *registry.Store {
	return &registry.Store{
		NotationConfig: a.dir().ConfigPath(),
		DockerConfig:   a.dockerConfig(),
		NativeHelper:   registry.DefaultHelper(),
	}
}

// dockerConfig is the path of Docker's config.json; empty without a home.
func (a *app) dockerConfig() string {
	if dir := a.getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json")
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) && !a.asNotation() {
		return ""
	}
	return filepath.Join(home, ".docker", "config.json")
}

// plugins are the plugins that are installed.
func (a *app) plugins() *plugin.Host {
	host := &plugin.Host{Dir: a.dir().Plugins()}
	if a.getenv(envLibexec) != "" {
		host.DirMode = 0o755 // not only the user's own
	}
	if a.log != nil {
		host.Trace = func(level slog.Level, text string) { a.log.Log(context.Background(), level, text) }
	}
	return host
}
