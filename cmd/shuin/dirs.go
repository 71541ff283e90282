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
// directory alone. Of a file that cannot be used, err says why; the defaults
// are the safe ones.
type settings struct {
	signatureFormat    string
	insecureRegistries []string
	err                error
}

func (a *app) settings() *settings {
	if a.settingsRead != nil {
		return a.settingsRead
	}
	d := a.dir()
	if a.asNotation() {
		d = notationdir.New(a.userConfig, "", "")
	}
	s := &settings{}
	c, err := d.Config()
	if err != nil {
		s.err = err
		c = &notationdir.Config{}
	}
	s.signatureFormat = cmp.Or(strings.ToLower(c.SignatureFormat), "jws")
	s.insecureRegistries = c.InsecureRegistries
	a.settingsRead = s
	return s
}

// warnSettings warns, once, of a config.json that cannot be used.
func (a *app) warnSettings() {
	if s := a.settings(); s.err != nil {
		a.warnf("config.json is not used: %v", s.err)
		s.err = nil
	}
}
