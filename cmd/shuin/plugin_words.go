package main

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"syscall"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/plugin"
)

// notationPluginWords say in notation's words why a plugin did not tell its
// metadata; malformed where it answered, and what it said cannot be used.
func notationPluginWords(err error) (words string, malformed bool) {
	if own, ok := errors.AsType[*plugin.Error](err); ok {
		switch {
		case own.Code != "" && own.Message != "":
			return own.Message, false
		case own.Code != "":
			return own.Code, false
		case own.Message != "":
			return own.Message, true
		}
		return own.Err.Error(), false
	}
	if bad, ok := errors.AsType[*plugin.MetadataError](err); ok {
		switch bad.Fault {
		case plugin.MetadataUnreadable:
			return fmt.Sprintf("failed to unmarshal the response of get-plugin-metadata command for plugin %s", bad.Plugin), true
		case plugin.MetadataInvalid:
			return fmt.Sprintf("metadata validation failed for plugin %s: %v", bad.Plugin, bad.Err), true
		}
		return bad.Error(), false
	}
	if e, ok := errors.AsType[*shuin.Error](err); ok && e.Err != nil {
		return e.Err.Error(), false // without what was being done
	}
	return err.Error(), false
}

// pluginError is the column ERROR of a plugin in the list.
func (a *app) pluginError(name string, err error) string {
	if err == nil {
		return "<nil>"
	}
	file := "notation-" + name
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	install := a.help("Use `{} plugin install` command to install the plugin")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("plugin executable file `%s` not found. %s", file, install)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Sprintf("plugin file `%s` is not executable. %s. Please ensure that the plugin executable file is compatible with %s/%s", file, install, runtime.GOOS, runtime.GOARCH)
	case a.asNotation():
		words, _ := notationPluginWords(err)
		return words
	}
	return err.Error()
}

// installError says why a plugin was not installed, and what to do about it: in
// notation's one message, or as message and hint.
func (a *app) installError(err error) error {
	advice := a.installAdvice(err)
	if !a.asNotation() {
		if advice == "" {
			return err
		}
		return &shuin.Error{Code: shuin.CodeOf(err), Err: err, Hint: advice}
	}
	text := err.Error()
	if step, ok := errors.AsType[*plugin.InstallError](err); ok {
		words, malformed := notationPluginWords(step.Err)
		if text = step.Step + ": " + words; malformed {
			text = words
		}
	}
	if advice != "" {
		text += ".\n" + advice
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Message: text}
}

// installAdvice is what to do about a plugin that was not installed; empty
// where there is nothing to say.
func (a *app) installAdvice(err error) string {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if _, ok := errors.AsType[*plugin.DowngradeError](err); ok {
		return `It is not recommended to install an older version. To force the installation, use the "--force" option`
	}
	if _, ok := errors.AsType[*plugin.EqualVersionError](err); ok && !a.asNotation() {
		return `To install it again, use the "--force" option`
	}
	own, failed := errors.AsType[*plugin.Error](err)
	if failed && own.Code == "" && own.Message == "" {
		return "Please ensure that the plugin executable file is compatible with " + platform + " and has appropriate permissions."
	}
	bad, unusable := errors.AsType[*plugin.MetadataError](err)
	if failed && own.Code == "" || unusable && bad.Fault != plugin.MetadataOtherName {
		return "Please ensure that the plugin executable file is intact and compatible with " + platform + ". Contact the plugin publisher for further assistance."
	}
	return ""
}
