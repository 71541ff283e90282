// Package plugin is the host side of the Notation plugin protocol
// (plugin-extensibility.md): it installs plugins, finds them, runs them as
// child processes within bounds, and turns their answers into the interfaces of
// packages sign and verify.
//
// It believes nothing that a signing plugin returns before it has checked it.
// Whether a verification plugin's answer is enough is for package verify to
// say. It downloads nothing, and retries nothing.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/notaryproject/notation-plugin-framework-go/plugin"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// Host runs the plugins of one directory. It holds no state; one Host may be
// used concurrently.
type Host struct {
	// Dir is the plugin directory; the plugin NAME is Dir/NAME/notation-NAME.
	Dir string
	// Env is the environment of plugins, as os.Environ gives it; nil: this
	// process's own. The registry's user name and password are left out of
	// either (SecretVariables).
	Env []string
	// MetadataTime and CommandTime bound one call of get-plugin-metadata and
	// of any other command; 0: limits.PluginMetadataTime, limits.PluginCommandTime.
	MetadataTime, CommandTime time.Duration
	// DirMode is the mode of directories above Dir that Install has to make;
	// 0: 0700. Dir itself is made 0755.
	DirMode fs.FileMode
	// Trace, when set, is told each request and response as compact JSON, and
	// the steps of an installation. They hold what the plugin's configuration
	// holds.
	Trace func(level slog.Level, text string)
}

// SecretVariables are the environment variables that no plugin inherits.
var SecretVariables = []string{"NOTATION_USERNAME", "NOTATION_PASSWORD"}

// Metadata is what a plugin says about itself.
type Metadata struct {
	Name, Description, Version, URL string
	// Contract is the version of the contract that plugin and host share.
	Contract     string
	Capabilities []string
}

// Capabilities of signing plugins; those of verification plugins are in
// package verify.
const (
	CapabilityRaw      = string(plugin.CapabilitySignatureGenerator)
	CapabilityEnvelope = string(plugin.CapabilityEnvelopeGenerator)
)

// Plugin is an installed plugin that told its metadata. As a
// verify.PluginVerifier it passes requests on and judges nothing.
type Plugin struct {
	host *Host
	name string
	path string
	meta Metadata
}

// Name is the plugin's name, that of its directory.
func (p *Plugin) Name() string { return p.name }

// Metadata is what the plugin said about itself when it was opened.
func (p *Plugin) Metadata() Metadata { return p.meta }

// Version is the plugin's own version.
func (p *Plugin) Version() string { return p.meta.Version }

// Capabilities are the plugin's, such as "SIGNATURE_GENERATOR.RAW".
func (p *Plugin) Capabilities() []string { return p.meta.Capabilities }

// Has reports whether the plugin has a capability.
func (p *Plugin) Has(capability string) bool {
	for _, c := range p.meta.Capabilities {
		if c == capability {
			return true
		}
	}
	return false
}

// List names the candidates: the directories in Dir, in order. Whether one is
// a valid plugin, Open tells. A missing Dir holds none.
func (h *Host) List() ([]string, error) {
	entries, err := os.ReadDir(h.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("list plugins", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !temporary(e.Name()) { // not so for symlinks
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Open finds the plugin and asks for its metadata, with the plugin's
// configuration (nil: none). The error is a [*shuin.Error] of code
// plugin-failed or, where ctx ended first, deadline-exceeded; it wraps
// fs.ErrNotExist when there is no such plugin.
func (h *Host) Open(ctx context.Context, name string, config map[string]string) (*Plugin, error) {
	path, err := h.find(name)
	if err != nil {
		return nil, failed(fmt.Sprintf("find plugin %q", name), err)
	}
	return h.openAt(ctx, name, path, config)
}

// openAt asks the plugin whose executable is at path for its metadata.
func (h *Host) openAt(ctx context.Context, name, path string, config map[string]string) (*Plugin, error) {
	p := &Plugin{host: h, name: name, path: path}
	out, err := h.call(ctx, p, plugin.GetMetadataRequest{PluginConfig: config})
	if err != nil {
		return nil, err
	}
	if p.meta, err = readMetadata(name, out); err != nil {
		return nil, p.misbehaved(plugin.CommandGetMetadata, err)
	}
	return p, nil
}

// Metadata asks the plugin for its metadata.
func (h *Host) Metadata(ctx context.Context, name string, config map[string]string) (Metadata, error) {
	p, err := h.Open(ctx, name, config)
	if err != nil {
		return Metadata{}, err
	}
	return p.meta, nil
}

// Verifier opens a plugin for verification; it satisfies verify.Plugins.
func (h *Host) Verifier(ctx context.Context, name string) (verify.PluginVerifier, error) {
	p, err := h.Open(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// find is the path of the plugin's executable: a regular file, no symlink,
// executable, in a directory of its own that is no symlink either (PLG-01).
// Differs from upstream: it follows symlinks, although its list leaves them out.
func (h *Host) find(name string) (string, error) {
	if !validName(name) {
		return "", errors.New("that is not the name of a plugin")
	}
	if h.Dir == "" {
		return "", errors.New("there is no plugin directory")
	}
	dir := filepath.Join(h.Dir, name)
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("plugin is not installed: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory (symlinks are not followed)", dir)
	}
	path := filepath.Join(dir, executable(name))
	if info, err = os.Lstat(path); err != nil {
		return "", fmt.Errorf("plugin executable file is either not found or inaccessible: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("plugin executable file is not a regular file: %s", path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("plugin executable file is not executable: %s", path)
	}
	return path, nil
}

// validName reports whether a plugin may be called name: it is the name of a
// directory and of a file in it.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\\x00") && filepath.IsLocal(name) && !temporary(name)
}

// executable is the file name of a plugin's executable.
func executable(name string) string {
	if runtime.GOOS == "windows" {
		return plugin.BinaryPrefix + name + ".exe"
	}
	return plugin.BinaryPrefix + name
}

func (h *Host) timeLimit(command plugin.Command) time.Duration {
	if command == plugin.CommandGetMetadata {
		if h.MetadataTime > 0 {
			return h.MetadataTime
		}
		return limits.PluginMetadataTime
	}
	if h.CommandTime > 0 {
		return h.CommandTime
	}
	return limits.PluginCommandTime
}

// failed is an error at this border. Errors that have a code keep it.
func failed(doing string, err error) error {
	code := shuin.CodePluginFailed
	var known *shuin.Error
	if errors.As(err, &known) && (known.Code == shuin.CodeDeadline || known.Code == shuin.CodeLimit) {
		code = known.Code
	}
	return &shuin.Error{Code: code, Message: doing, Hint: shuin.HintOf(err), Err: err}
}
