package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
)

type listOptions struct {
	registryFlags
	pin           pinFlags
	debug         bool
	reference     string
	layout        bool
	maxSignatures int
	output        outputFlag
}

func newListCmd(a *app) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:     "list [flags] <reference>",
		Aliases: []string{"ls"},
		Short:   "List signatures of the signed artifact",
		Long: a.help(`List the signatures of an artifact. Nothing is verified.

Example - List the signatures of an artifact:
  {} list <registry>/<repository>@<digest>

Example - List the signatures of an artifact named by a tag, which is resolved to a digest:
  {} list <registry>/<repository>:<tag>

Example - The same as JSON:
  {} list --output json <registry>/<repository>@<digest>
`),
		Args: a.oneReference(&o.reference),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.check(); err != nil {
				return err
			}
			if err := a.checkExperimental(cmd, "oci-layout"); err != nil {
				return err
			}
			return o.pin.check(a, cmd.Flags())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.list(cmd.Context(), &o)
			if err != nil && o.output.value == "json" {
				return errors.Join(err, writeJSON(a.stdout, unresolved(o.reference, shuin.CodeOf(err), err, shuin.HintOf(err))))
			}
			return err
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.registryFlags.add(a, fs)
	fs.BoolVar(&o.layout, "oci-layout", false, a.experimental("list signatures stored in an OCI image layout"))
	o.pin.add(a, cmd, false)
	maxSignaturesFlag(fs, &o.maxSignatures)
	o.output.add(fs, "text", "json")
	a.hideExperimental(cmd, "oci-layout")
	return cmd
}

func (a *app) list(ctx context.Context, o *listOptions) error {
	a.startDebug(o.debug)
	if err := errors.Join(a.checkDirs(), checkMaxSignatures(o.maxSignatures)); err != nil {
		return err
	}
	ref, err := o.pin.reference(ctx, o.reference, o.layout)
	if err != nil {
		return err
	}
	repo, err := a.openTarget(ref, &o.registryFlags, nil)
	if err != nil {
		return err
	}
	artifact, err := repo.Resolve(ctx, ref)
	if err != nil {
		return o.pin.unresolved(err)
	}
	a.logResolved(artifact)
	a.warnTag("list", ref)
	found, more, err := repo.List(ctx, artifact, o.maxSignatures)
	if err != nil {
		return err
	}
	if more {
		a.warnf("exceeded configured limit of max signatures %d to examine", o.maxSignatures)
	}
	if o.output.value == "json" {
		return writeJSON(a.stdout, listReport(artifact, found, more))
	}
	return a.printList(artifact, found)
}

// listJSON is a listing as a Report: the same fields, without those of a
// judgement. More says that there are signatures beyond --max-signatures.
type listJSON struct {
	MediaType string `json:"mediaType"`
	Artifact  struct {
		Reference string        `json:"reference"`
		Written   string        `json:"written,omitempty"`
		MediaType string        `json:"mediaType"`
		Digest    digest.Digest `json:"digest"`
		Size      int64         `json:"size"`
	} `json:"artifact"`
	Result     shuin.Result            `json:"result"`
	More       bool                    `json:"more,omitempty"`
	Signatures []shuin.SignatureReport `json:"signatures"`
}

func listReport(artifact shuin.Artifact, found []shuin.Descriptor, more bool) listJSON {
	r := listJSON{MediaType: shuin.MediaTypeReport, Result: shuin.Listed, More: more, Signatures: []shuin.SignatureReport{}}
	desc := artifact.Descriptor()
	r.Artifact.Reference, r.Artifact.MediaType, r.Artifact.Digest, r.Artifact.Size = artifact.String(), desc.MediaType, desc.Digest, desc.Size
	if w := artifact.Written().String(); w != r.Artifact.Reference {
		r.Artifact.Written = w
	}
	for _, d := range found {
		r.Signatures = append(r.Signatures, shuin.SignatureReport{Digest: d.Digest, Result: shuin.Listed})
	}
	return r
}

func (a *app) printList(artifact shuin.Artifact, found []shuin.Descriptor) error {
	if len(found) == 0 {
		_, err := fmt.Fprintf(a.stdout, "%s has no associated signatures\n", artifact)
		return err
	}
	root := &node{text: artifact.String()}
	signatures := root.add(shuin.ArtifactTypeSignature)
	for _, d := range found {
		signatures.add(d.Digest.String())
	}
	return root.write(a.stdout)
}
