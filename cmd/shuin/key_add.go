package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/sign"
)

type keyAddOptions struct {
	debug        bool
	name         string
	plugin       string
	id           string
	pluginConfig []string
	isDefault    bool
	local        localKeyOptions
}

func newKeyAddCmd(a *app) *cobra.Command {
	var o keyAddOptions
	cmd := &cobra.Command{
		Use:   "add --plugin <plugin_name> [flags] <key_name>",
		Short: "Add key to Notation signing key list",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return invalid("either missing key name or unnecessary parameters passed")
			}
			o.name = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyAdd(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	fs.StringVar(&o.plugin, "plugin", "", "name of the signing plugin")
	fs.StringVar(&o.id, "id", "", "key id (required if --plugin is set)")
	pluginConfigFlag(fs, &o.pluginConfig)
	fs.BoolVar(&o.isDefault, "default", false, "mark as default")
	if a.asNotation() {
		if err := cmd.MarkFlagRequired("plugin"); err != nil {
			panic(err) // the flag was declared above
		}
		return cmd
	}
	o.local.add(a, cmd)
	return cmd
}

func (a *app) keyAdd(ctx context.Context, o *keyAddOptions) error {
	a.startDebug(o.debug)
	config, err := parsePairs("plugin-config", o.pluginConfig)
	if err != nil {
		return err
	}
	switch {
	case o.name == "":
		return invalid("key name cannot be empty")
	case o.local.keyPath != "":
		return a.keyAddLocal(ctx, o)
	case o.id == "":
		return invalid("missing key id")
	case o.plugin == "":
		return invalid("plugin name cannot be empty")
	}
	if o.plugin == awsprofile.PluginName {
		// Built in: there is nothing to start, but the ARN to read.
		if err := a.useSigner(&sign.Signer{}, o.id, config); err != nil {
			return err
		}
	} else if _, err := a.plugins().Metadata(ctx, o.plugin, config); err != nil { // what cannot be started is no key
		return err
	}
	return a.listKey(ctx, o, notationdir.SigningKey{Name: o.name, ID: o.id, PluginName: o.plugin, PluginConfig: config})
}

// listKey puts a key on the list, and says so.
func (a *app) listKey(ctx context.Context, o *keyAddOptions, key notationdir.SigningKey) error {
	if err := a.dir().UpdateSigningKeys(ctx, func(keys *notationdir.SigningKeys) error { return keys.Add(key, o.isDefault) }); err != nil {
		return err
	}
	line := o.name
	if o.isDefault {
		line += ": marked as default"
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}
