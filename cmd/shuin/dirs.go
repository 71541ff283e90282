package main

import (
	"cmp"
	"strings"

	"github.com/shuin/shuin/internal/notationdir"
)

// dir is notation's configuration directory, wherever the environment puts it.
// The same one for the life of the process, so that a trust store is read once.
func (a *app) dir() notationdir.Dir {
	if a.notationDir == nil {
		d := notationdir.New(a.configRoot(), cmp.Or(a.getenv(envCache), a.userCache), a.getenv(envLibexec))
		d.Warn = func(message string) { a.warnf("%s", message) }
		a.notationDir = &d
	}
	return *a.notationDir
}

func (a *app) configRoot() string { return cmp.Or(a.getenv(envConfig), a.userConfig) }

// settings are what config.json says of flags' defaults. Notation reads them
// before NOTATION_CONFIG counts, so under its name they come from the user's
// directory alone. A file that cannot be used gives the safe defaults: what
// needs it says why.
func (a *app) settings() notationdir.Config {
	if a.settingsRead == nil {
		d := a.dir()
		if a.asNotation() {
			d = notationdir.New(a.userConfig, "", "")
		}
		c, err := d.Config()
		if err != nil {
			a.warnf("config.json is not used: %v", err)
			c = &notationdir.Config{}
		}
		c.SignatureFormat = cmp.Or(strings.ToLower(c.SignatureFormat), "jws")
		a.settingsRead = c
	}
	return *a.settingsRead
}
