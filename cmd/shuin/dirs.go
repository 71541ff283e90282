package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/policy"
)

// dir is notation's configuration directory, wherever the environment puts it.
// The same one for the life of the process, so that a trust store is read once.
func (a *app) dir() notationdir.Dir {
	if a.notationDir == nil {
		d := notationdir.New(a.configRoot(), a.cacheRoot(), a.getenv(envLibexec))
		d.Warn = func(message string) { a.warnf("%s", message) }
		d.Policies = policy.Parser{AllowSkipOfEverything: a.asNotation()}
		a.notationDir = &d
	}
	return *a.notationDir
}

// cacheRoot is empty where there is none.
func (a *app) cacheRoot() string { return cmp.Or(a.getenv(envCache), a.userCache) }

// checkDirs refuses to go on without a configuration directory.
func (a *app) checkDirs() error {
	if a.configRoot() != "" {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeInvalidInput,
		Message: "there is no configuration directory: neither " + envConfig + " nor a home directory (HOME, XDG_CONFIG_HOME) is set to an absolute path",
		Hint:    "set " + envConfig + " to the directory that holds trust policy, trust store and keys"}
}

// needsNoDirs are the commands that do without a configuration directory, and
// those that check for it themselves, to answer in JSON.
func needsNoDirs(cmd *cobra.Command) bool {
	if c := cmd; c.HasParent() && c.Parent().Name() == "policy" {
		switch c.Name() {
		case "lint", "test", "schema", "explain", "bundle":
			return true
		}
	}
	if c := cmd; c.HasParent() && c.Parent().Name() == "bundle" {
		return true
	}
	if c := cmd; c.HasParent() && c.Parent().Name() == "blob" {
		return c.Name() == "inspect" || c.Name() == "verify"
	}
	cmd = topCommand(cmd)
	switch cmd.Name() {
	case "version", "dev-registry", "signer", "aws", "k8s", "help", "completion", "verify", "list", "seal", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true
	}
	return !cmd.HasParent()
}

// topCommand is the command below the root that cmd is part of.
func topCommand(cmd *cobra.Command) *cobra.Command {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	return cmd
}

// configRoot is empty where there is none.
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
	c := &notationdir.Config{}
	var err error
	if d.Root() != "" {
		c, err = d.Config()
	}
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
