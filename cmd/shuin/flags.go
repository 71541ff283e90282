package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
)

// registryFlags are how to reach a registry.
type registryFlags struct {
	username string
	password string
	insecure bool
}

// add declares the flags; the environment gives the defaults, which therefore
// never show up in a help text.
func (r *registryFlags) add(a *app, fs *pflag.FlagSet) {
	fs.StringVarP(&r.username, "username", "u", "", "user name for the registry (default: $"+envUsername+")")
	fs.StringVarP(&r.password, "password", "p", "", "password for the registry (default: $"+envPassword+")")
	fs.BoolVar(&r.insecure, "insecure-registry", false, "speak plain HTTP to the registry; for tests only")
	r.username, r.password = a.username, a.password
}

// debugFlag declares -d.
func debugFlag(fs *pflag.FlagSet, debug *bool) {
	fs.BoolVarP(debug, "debug", "d", false, "debug mode: log to stderr, HTTP requests included")
}

// maxSignaturesFlag declares --max-signatures.
func maxSignaturesFlag(fs *pflag.FlagSet, n *int) {
	fs.IntVar(n, "max-signatures", 100, "maximum number of signatures to evaluate or examine")
}

func checkMaxSignatures(n int) error {
	if n <= 0 {
		return invalidf("max-signatures value %d must be a positive number", n)
	}
	return nil
}

// metadataFlags are --user-metadata and --plugin-config.
type metadataFlags struct {
	userMetadata []string
	pluginConfig []string
}

func (m *metadataFlags) add(fs *pflag.FlagSet, metadataUsage string) {
	fs.StringArrayVarP(&m.userMetadata, "user-metadata", "m", nil, metadataUsage)
	pluginConfigFlag(fs, &m.pluginConfig)
}

func pluginConfigFlag(fs *pflag.FlagSet, p *[]string) {
	fs.StringArrayVar(p, "plugin-config", nil, "{key}={value} pairs handed to the plugin as they are; the plugin's documentation names them")
}

// installedPluginFlag declares --use-installed-plugin.
func installedPluginFlag(fs *pflag.FlagSet, p *bool) {
	fs.BoolVar(p, "use-installed-plugin", false, "for AWS Signer, start the installed plugin "+awsprofile.PluginName+" in place of what is built in")
}

// parse reads both as maps, plugin configuration first.
func (m *metadataFlags) parse() (metadata, pluginConfig map[string]string, err error) {
	if pluginConfig, err = parsePairs("plugin-config", m.pluginConfig); err != nil {
		return nil, nil, err
	}
	if metadata, err = parsePairs("user-metadata", m.userMetadata); err != nil {
		return nil, nil, err
	}
	return metadata, pluginConfig, nil
}

// parsePairs reads key=value pairs. A later pair replaces an earlier one of
// the same key, as in notation.
func parsePairs(flag string, pairs []string) (map[string]string, error) {
	m := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || value == "" {
			return nil, invalidf("could not parse flag %s: key-value pair requires \"=\" as separator", flag)
		}
		m[key] = value
	}
	return m, nil
}

// outputFlag is --output with the values a command knows; the first is the default.
type outputFlag struct {
	value   string
	allowed []string
}

func (o *outputFlag) add(fs *pflag.FlagSet, allowed ...string) {
	o.allowed = allowed
	quoted := make([]string, len(allowed))
	for i, s := range allowed {
		quoted[i] = "'" + s + "'"
	}
	fs.StringVarP(&o.value, "output", "o", allowed[0], "output format, options: "+strings.Join(quoted, ", "))
}

func (o *outputFlag) check() error {
	for _, s := range o.allowed {
		if s == o.value {
			return nil
		}
	}
	// The values are in the hint: the message is notation's.
	last := len(o.allowed) - 1
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("invalid format: %q", o.value),
		Hint: "--output is " + strings.Join(o.allowed[:last], ", ") + " or " + o.allowed[last]}
}

// oneReference is the Args rule of sign, verify, list and inspect: the first
// argument is the reference, more are ignored as in notation.
func (a *app) oneReference(ref *string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return invalid(fmt.Sprintf("missing reference to the artifact: use `%s --help` to see what parameters are required", cmd.CommandPath()))
		}
		*ref = args[0]
		return nil
	}
}

// invalid is an error of the one who typed: a flag, argument or file.
func invalid(msg string) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: msg}
}

func invalidf(format string, args ...any) error { return invalid(fmt.Sprintf(format, args...)) }

// refuseEmpty refuses flags that were given and are empty, as an unset variable
// of a script makes them: the default would be taken in place of what was meant.
func refuseEmpty(fs *pflag.FlagSet) error {
	var err error
	fs.Visit(func(f *pflag.Flag) {
		empty := f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values := list.GetSlice()
			empty = len(values) == 0 || slices.Contains(values, "")
		}
		if empty && err == nil {
			err = invalidf("flag --%s cannot be empty", f.Name)
		}
	})
	return err
}
