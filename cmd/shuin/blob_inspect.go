package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

type blobInspectOptions struct {
	path   string
	output outputFlag
}

func newBlobInspectCmd(a *app) *cobra.Command {
	var o blobInspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [flags] <signature_path>",
		Short: "Inspect a signature associated with a blob",
		Long: a.help(`Show what the signature of a blob says. Nothing is verified: these are claims.

Example - Inspect a signature:
  {} blob inspect blob.jws.sig

Example - The same as JSON:
  {} blob inspect --output json blob.jws.sig
`),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return missingArgument(cmd, "signature path")
			}
			o.path = args[0]
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.inspectBlob(cmd.Context(), &o) },
	}
	o.output.add(cmd.Flags(), "tree", "json")
	return cmd
}

func (a *app) inspectBlob(ctx context.Context, o *blobInspectOptions) error {
	if err := o.output.check(); err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "unrecognized output format " + o.output.value, Hint: shuin.HintOf(err)}
	}
	if _, err := signatureFileType(o.path); err != nil && a.asNotation() {
		return err // before it is looked for
	}
	data, err := readFile(ctx, o.path, limits.EnvelopeBytes, "EnvelopeBytes")
	if err != nil {
		return fmt.Errorf("failed to read signature file: %w", err)
	}
	mediaType, err := a.signatureType(o.path, data)
	if err != nil {
		return err
	}
	env, err := envelope.Parse(mediaType, data)
	if err != nil {
		return fmt.Errorf("failed to parse signature: %w", err)
	}
	i, err := inspectEnvelope(env, shuin.Signature{EnvelopeMediaType: mediaType, Envelope: data})
	if err != nil {
		return err
	}
	if o.output.value == "json" {
		return writeJSON(a.stdout, i.json())
	}
	root := &node{text: o.path}
	i.fill(root)
	return root.write(a.stdout)
}
