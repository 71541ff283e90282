package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/notaryproject/notation-plugin-framework-go/plugin"
	"golang.org/x/mod/semver"

	"github.com/shuin/shuin/envelope"
)

// Installed is a plugin that was installed.
type Installed struct {
	Metadata
	// Replaced is what the plugin in whose place it came said about itself; nil
	// where there was none, or none that answered.
	Replaced *Metadata
	// Skipped are entries of the package that were left out, since they are no
	// regular files: up to limits.PluginSkipped.
	Skipped []string
}

// InstallError is a step of an installation that failed.
type InstallError struct {
	Step string // in notation's words
	Err  error
}

// Error is the step and its reason.
func (e *InstallError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap is the reason.
func (e *InstallError) Unwrap() error { return e.Err }

// DowngradeError is a package that is older than what is installed.
type DowngradeError struct{ Name, Version, Existing string }

func (e *DowngradeError) Error() string {
	return fmt.Sprintf("failed to install plugin %s. The installing plugin version %s is lower than the existing plugin version %s", e.Name, e.Version, e.Existing)
}

// EqualVersionError is a package of the version that is installed.
type EqualVersionError struct{ Name, Existing string }

func (e *EqualVersionError) Error() string {
	return fmt.Sprintf("plugin %s with version %s already exists", e.Name, e.Existing)
}

// errSeveral is a package of which nobody can say what its plugin is.
var errSeveral = errors.New("found more than one plugin executable files")

// Install installs what is in the package: a new directory, whole or not at
// all, in the place of the plugin's own. Until it is there, and where anything
// fails, the plugin that was there stays. The package's executable is run once,
// for its metadata; whoever wants a checksum calls [Package.Check] before.
//
// An installed plugin is replaced by a later version (semver.org), or by any
// with force, which also replaces one that does not answer. Installations into
// one directory wait for each other until ctx ends.
func (h *Host) Install(ctx context.Context, p *Package, force bool) (Installed, error) {
	out, err := h.install(ctx, p, force)
	if err != nil {
		return Installed{}, invalid(err)
	}
	return out, nil
}

func (h *Host) install(ctx context.Context, p *Package, force bool) (out Installed, err error) {
	unlock, err := h.lock(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	stage, err := h.stage()
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(stage)
	root, err := os.OpenRoot(stage)
	if err != nil {
		return out, err
	}
	defer root.Close()
	u := &unpacker{ctx: ctx, root: root, files: map[string]fs.FileMode{}, trace: h.trace}
	file, err := h.unpack(u, p)
	if err != nil {
		return out, err
	}
	name, _ := pluginName(file)
	path := filepath.Join(stage, file)
	fresh, err := h.openAt(ctx, name, path, nil)
	if err != nil {
		showPath(err, path, shownAs(p, file))
		return out, &InstallError{"failed to get metadata of new plugin", err}
	}
	out = Installed{Metadata: fresh.meta, Skipped: u.skipped}
	if out.Replaced, err = h.mayReplace(ctx, fresh.meta, force); err != nil {
		return out, err
	}
	if err := errors.Join(u.sync(), root.Close(), ctx.Err()); err != nil {
		return out, err
	}
	return out, place(stage, filepath.Join(h.Dir, name))
}

// unpack writes the package's files, and says which is the plugin.
func (h *Host) unpack(u *unpacker, p *Package) (file string, err error) {
	f, err := p.format()
	if err != nil {
		return "", err
	}
	from := u.root.Name()
	if f == bare {
		from = p.Path
		if err := checkBare(p); err != nil {
			return "", err
		}
	}
	if err := u.unpack(p, f); err != nil {
		return "", err
	}
	h.trace("Installing plugin from path %s", from)
	if file, err = u.executable(h); err != nil {
		return "", &InstallError{"failed to read plugin from input directory", err}
	}
	if name, _ := pluginName(file); !validName(name) {
		return "", fmt.Errorf("%q is not the name of a plugin", name)
	}
	return file, nil
}

// checkBare refuses a bare executable by its name and mode.
func checkBare(p *Package) error {
	if _, ok := pluginName(p.Name); !ok {
		return &InstallError{"failed to read plugin name from input file " + p.Name,
			fmt.Errorf("invalid plugin executable file name. Plugin file name requires format notation-{plugin-name}%s, but got %s", suffix(), p.Name)}
	}
	if !mayRun(p.Mode) {
		return fmt.Errorf("input file %s is not executable", p.Name)
	}
	return nil
}

// executable is the one file that can be the plugin: named as plugins are, and
// executable; or the only one so named, which then is made executable.
func (u *unpacker) executable(h *Host) (string, error) {
	var named, runnable []string
	for name, mode := range u.files {
		if _, ok := pluginName(name); !ok {
			continue
		}
		named = append(named, name)
		if mayRun(mode) {
			runnable = append(runnable, name)
		}
	}
	switch {
	case len(runnable) == 1:
		return runnable[0], nil
	case len(runnable) > 1:
		return "", errSeveral
	case len(named) != 1:
		return "", errors.New("no plugin executable file was found")
	}
	h.traceAt(levelWarn, "Found candidate plugin executable file %q without executable permission. Setting user executable bit and trying to install.", named[0])
	return named[0], u.root.Chmod(named[0], u.files[named[0]]|0o100)
}

// pluginName is the name of the plugin whose executable is called so.
func pluginName(file string) (string, bool) {
	name, ok := strings.CutPrefix(file, plugin.BinaryPrefix)
	if s := suffix(); s != "" && ok {
		name, ok = strings.CutSuffix(name, s)
	}
	return name, ok && name != ""
}

func suffix() string { return strings.TrimPrefix(executable(""), plugin.BinaryPrefix) }

// mayRun reports whether the owner may execute a file of that mode. Windows has
// no such right.
func mayRun(mode fs.FileMode) bool { return runtime.GOOS == "windows" || mode.Perm()&0o100 != 0 }

// mayReplace is the metadata of the installed plugin, nil where there is none,
// or an error where it has to stay.
func (h *Host) mayReplace(ctx context.Context, fresh Metadata, force bool) (*Metadata, error) {
	path, err := h.find(fresh.Name)
	if errors.Is(err, fs.ErrNotExist) || err != nil && force {
		return nil, nil
	}
	if err != nil {
		return nil, &InstallError{"failed to check plugin existence", err}
	}
	existing, err := h.openAt(ctx, fresh.Name, path, nil)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && force:
		return nil, nil
	case err != nil:
		return nil, &InstallError{"failed to get metadata of existing plugin", err}
	case force:
		return &existing.meta, nil
	}
	for _, v := range []string{fresh.Version, existing.meta.Version} {
		if !envelope.ValidSemVer(v) {
			return nil, &InstallError{"failed to compare plugin versions", fmt.Errorf("%s is not a valid semantic version", v)}
		}
	}
	switch c := semver.Compare("v"+fresh.Version, "v"+existing.meta.Version); {
	case c < 0:
		return nil, &DowngradeError{fresh.Name, fresh.Version, existing.meta.Version}
	case c == 0:
		return nil, &EqualVersionError{fresh.Name, existing.meta.Version}
	}
	return &existing.meta, nil
}

// Has reports whether there is a plugin of that name: a directory with its
// executable in it, whether that can be run or not. What cannot be a plugin's
// name names none.
func (h *Host) Has(name string) (bool, error) {
	if !validName(name) || h.Dir == "" {
		return false, nil
	}
	info, err := os.Stat(filepath.Join(h.Dir, name, executable(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, invalid(fmt.Errorf("plugin executable file is either not found or inaccessible: %w", err))
	case !info.Mode().IsRegular():
		return false, invalid(errors.New("plugin executable file is not a regular file"))
	}
	return true, nil
}

// Uninstall removes the plugin's directory with all that is in it, or the
// symlink in its place. It is out of use at once, however much there is to
// remove. The error holds fs.ErrNotExist where there is no such directory.
func (h *Host) Uninstall(ctx context.Context, name string) (err error) {
	if !validName(name) || h.Dir == "" {
		return invalid(fmt.Errorf("%q: %w", name, fs.ErrNotExist))
	}
	dir := filepath.Join(h.Dir, name)
	if _, err := os.Lstat(dir); err != nil {
		return invalid(err)
	}
	unlock, err := h.lock(ctx)
	if err != nil {
		return invalid(err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	away, err := temporaryName()
	if err != nil {
		return invalid(err)
	}
	away = filepath.Join(h.Dir, away)
	if err := os.Rename(dir, away); err != nil {
		return invalid(err)
	}
	if err := os.RemoveAll(away); err != nil {
		return invalid(fmt.Errorf("it is out of use, but not all of it could be removed: %w", err))
	}
	return nil
}

// shownAs is what errors call the executable of the package: the file that was
// given, or the name inside the archive.
func shownAs(p *Package, file string) string {
	if file == p.Name {
		return p.Path
	}
	return file
}

// showPath puts a path that the user knows into the error of a process that did
// not start.
func showPath(err error, path, shown string) {
	var e *fs.PathError
	if errors.As(err, &e) && e.Path == path {
		e.Path = shown
	}
}
