package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerTagCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "tag", Short: "Tag signing profiles"}
	cmd.AddCommand(newSignerTagAddCmd(a), newSignerTagListCmd(a), newSignerTagRemoveCmd(a))
	return cmd
}

type signerTagOptions struct {
	signerAPIFlags
	ref  string
	rest []string
}

// args is the Args rule of commands about a profile and tags of it.
func (o *signerTagOptions) args(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < 2 || args[0] == "" {
			return invalid("expecting one profile name or ARN and " + what + ": use `" + cmd.CommandPath() + " --help` to see what parameters are required")
		}
		o.ref, o.rest = args[0], args[1:]
		return nil
	}
}

func newSignerTagAddCmd(a *app) *cobra.Command {
	var o signerTagOptions
	cmd := &cobra.Command{
		Use:   "add [flags] <profile> <key>=<value>...",
		Short: "Add tags to a signing profile, or change them",
		Args:  o.args("one or more {key}={value} pairs"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tags, err := parsePairs("tag", o.rest)
			if err != nil {
				return err
			}
			return a.signerTags(cmd.Context(), &o, func(ctx context.Context, admin *awsclient.Admin, ref awsclient.ProfileRef) error {
				return admin.Tag(ctx, ref, tags)
			}, fmt.Sprintf("Tagged signing profile %%s with %d tags", len(tags)))
		},
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func newSignerTagRemoveCmd(a *app) *cobra.Command {
	var o signerTagOptions
	cmd := &cobra.Command{
		Use: "remove [flags] <profile> <key>...", Aliases: []string{"rm"},
		Short: "Take tags from a signing profile",
		Args:  o.args("one or more tag keys"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.signerTags(cmd.Context(), &o, func(ctx context.Context, admin *awsclient.Admin, ref awsclient.ProfileRef) error {
				return admin.Untag(ctx, ref, o.rest)
			}, fmt.Sprintf("Took %d tags from signing profile %%s", len(o.rest)))
		},
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

// signerTags changes tags and says so.
func (a *app) signerTags(ctx context.Context, o *signerTagOptions, change func(context.Context, *awsclient.Admin, awsclient.ProfileRef) error, text string) error {
	admin, ref, err := o.profileAdmin(a, o.ref)
	if err != nil {
		return err
	}
	if err := change(ctx, admin, ref); err != nil {
		return err
	}
	return a.done(&o.signerAPIFlags, fmt.Sprintf(text, profileText(ref)), map[string]string{"profile": profileText(ref)})
}

func newSignerTagListCmd(a *app) *cobra.Command {
	var o signerTagOptions
	cmd := &cobra.Command{
		Use: "list [flags] <profile>", Aliases: []string{"ls"},
		Short: "List the tags of a signing profile",
		Args:  oneArg("one profile name or ARN", &o.ref),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerTagList(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func (a *app) signerTagList(ctx context.Context, o *signerTagOptions) error {
	admin, ref, err := o.profileAdmin(a, o.ref)
	if err != nil {
		return err
	}
	tags, err := admin.Tags(ctx, ref)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, map[string]map[string]string{"tags": merged(tags)})
	}
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		rows = append(rows, []string{k, tags[k]})
	}
	return a.rows([]string{"KEY", "VALUE"}, rows)
}
