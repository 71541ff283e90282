package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
)

type inspectOptions struct {
	registryFlags
	pin           pinFlags
	debug         bool
	reference     string
	maxSignatures int
	output        outputFlag
}

func newInspectCmd(a *app) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [reference]",
		Short: "Inspect all signatures associated with the signed artifact",
		Long: a.help(`Show what the signatures of an artifact say. Nothing is verified: these are claims.

Example - Inspect the signatures of an artifact:
  {} inspect <registry>/<repository>@<digest>

Example - Inspect the signatures of an artifact named by a tag, which is resolved to a digest:
  {} inspect <registry>/<repository>:<tag>

Example - The same as JSON:
  {} inspect --output json <registry>/<repository>@<digest>
`),
		Args: a.oneReference(&o.reference),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.check(); err != nil {
				return err
			}
			return o.pin.check(a, cmd.Flags())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkMaxSignatures(o.maxSignatures); err != nil {
				return err
			}
			return a.inspect(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.registryFlags.add(a, fs)
	o.pin.add(a, cmd, false)
	maxSignaturesFlag(fs, &o.maxSignatures)
	o.output.add(fs, "tree", "json")
	return cmd
}

func (a *app) inspect(ctx context.Context, o *inspectOptions) error {
	a.startDebug(o.debug)
	ref, err := o.pin.reference(ctx, o.reference, false)
	if err != nil {
		return err
	}
	repo, err := a.openTarget(ref, &o.registryFlags, nil)
	if err != nil {
		return err
	}
	artifact, signatures, err := repo.Discover(ctx, ref)
	if err != nil {
		return o.pin.unresolved(err)
	}
	a.logResolved(artifact)
	a.warnTag("inspect", ref)
	found, more, err := signatures.Signatures(ctx, artifact, o.maxSignatures)
	if err != nil {
		return err
	}
	inspected, skipped := a.inspectAll(found)
	if err := a.printInspection(o.output.value, artifact, inspected); err != nil {
		return err
	}
	const cut = "exceeded configured limit of max signatures %d to examine"
	switch {
	case more && o.output.value == "json":
		a.warnf(cut, o.maxSignatures)
	case more: // on stdout, as notation has it
		fmt.Fprintf(a.stdout, "Warning: "+cut+"\n", o.maxSignatures)
	}
	if skipped {
		return errors.New("at least one signature was skipped and not displayed")
	}
	return nil
}

// inspectAll reads each signature; those it cannot read are warned of.
func (a *app) inspectAll(found []shuin.Signature) (inspected []*inspection, skipped bool) {
	for _, sig := range found {
		if sig.Err != nil {
			a.warnf("unable to fetch signature %s due to error: %s", sig.Manifest.Digest, oneLine(sig.Err.Error()))
			skipped = true
			continue
		}
		i, err := inspectSignature(sig)
		if err != nil {
			a.warnf("Skipping signature %s because of error: %s", sig.Manifest.Digest, oneLine(err.Error()))
			skipped = true
			continue
		}
		inspected = append(inspected, i)
	}
	return inspected, skipped
}

func (a *app) printInspection(format string, artifact shuin.Artifact, inspected []*inspection) error {
	if format == "json" {
		out := inspectJSON{MediaType: artifact.Descriptor().MediaType, Signatures: []signatureJSON{}}
		for _, i := range inspected {
			out.Signatures = append(out.Signatures, i.json())
		}
		return writeJSON(a.stdout, out)
	}
	if len(inspected) == 0 {
		_, err := fmt.Fprintf(a.stdout, "%s has no associated signature\n", artifact)
		return err
	}
	root := &node{text: artifact.String()}
	signatures := root.add(shuin.ArtifactTypeSignature)
	for _, i := range inspected {
		i.fill(signatures.add(i.digest))
	}
	if _, err := fmt.Fprintln(a.stdout, "Inspecting all signatures for signed artifact"); err != nil {
		return err
	}
	return root.write(a.stdout)
}
