package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

type verifyOptions struct {
	registryFlags
	metadataFlags
	pin           pinFlags
	debug         bool
	reference     string
	layout        bool
	scope         string
	maxSignatures int
	output        outputFlag
	revocation    revocationFlags
	installed     bool
	pipeline      pipelineFlags
}

func newVerifyCmd(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [reference]",
		Short: "Verify OCI artifacts",
		Long: a.help(`Verify the signatures of an artifact against the trust policy.

Before: add a certificate to a trust store ("{} cert add") and import a trust policy ("{} policy import").
For AWS Signer the trust stores signingAuthority:aws-signer-ts and signingAuthority:aws-us-gov-signer-ts are built in,
and no plugin is needed.

Example - Verify an artifact:
  {} verify <registry>/<repository>@<digest>

Example - Verify an artifact named by a tag, which is resolved to a digest:
  {} verify <registry>/<repository>:<tag>

Example - Show every check of every signature as JSON:
  {} verify --output json <registry>/<repository>@<digest>
` + a.own(`
Example - Verify, and deploy what was verified:
  IMAGE=$({} verify --print-digest <registry>/<repository>:<tag>) && kubectl set image deployment/shop shop="$IMAGE"
`)),
		Args: a.oneReference(&o.reference),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.output.check(); err != nil {
				return err
			}
			if err := a.checkExperimental(cmd, "oci-layout", "scope"); err != nil {
				return err
			}
			if err := o.pin.check(a, cmd.Flags()); err != nil {
				return err
			}
			return o.pipeline.check(cmd.Flags(), cmd.Flags().Args())
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.layout && o.scope == "" {
				return invalid("flag --scope cannot be empty") // else the directory's name would choose the statement
			}
			if o.pipeline.policy != "" {
				return a.verifyByPolicy(cmd.Context(), &o)
			}
			return a.verify(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	o.registryFlags.add(a, fs)
	o.metadataFlags.add(fs, "user defined {key}={value} pairs that must be signed for the verification to succeed")
	o.pin.add(a, cmd, true)
	maxSignaturesFlag(fs, &o.maxSignatures)
	fs.BoolVar(&o.layout, "oci-layout", false, a.experimental("verify an artifact stored as an OCI image layout"))
	fs.StringVar(&o.scope, "scope", "", a.experimental("trust policy scope to verify with; required with \"--oci-layout\" and only used with it"))
	o.output.add(fs, "text", "json")
	o.revocation.add(a, fs)
	installedPluginFlag(fs, &o.installed)
	o.pipeline.add(a, fs)
	cmd.MarkFlagsRequiredTogether("oci-layout", "scope")
	a.hideExperimental(cmd, "oci-layout", "scope")
	return cmd
}

// verify is the whole of the command. Files are read before the network is used.
func (a *app) verify(ctx context.Context, o *verifyOptions) error {
	a.startDebug(o.debug)
	pinned := a.onlyPinned(&o.pin)
	fail := func(err error) error { return a.reportUnresolved(o.output.value, o.reference, err) }
	if err := errors.Join(a.checkDirs(), checkMaxSignatures(o.maxSignatures)); err != nil {
		return fail(err)
	}
	doc, err := a.dir().Policy(notationdir.OCIPolicy)
	if err != nil {
		return fail(err)
	}
	metadata, pluginConfig, err := o.metadataFlags.parse()
	if err != nil {
		return fail(err)
	}
	if _, err := awsclient.SettingsOf(pluginConfig); err != nil && !o.installed {
		return fail(err)
	}
	ref, err := o.pin.reference(ctx, o.reference, o.layout)
	if err != nil {
		return fail(err)
	}
	repo, err := a.openTarget(ref, &o.registryFlags, nil)
	if err != nil {
		return fail(err)
	}
	report, err := a.verifyReference(ctx, repo, ref, doc, o, verify.Options{
		Now: a.now(), Scope: o.scope, Metadata: metadata, PluginConfig: pluginConfig,
	})
	if err != nil {
		return fail(err)
	}
	a.logReport(report, doc)
	if err := a.printReport(ctx, o, repo, report); err != nil {
		return err
	}
	return pinned.print(report.Artifact.String(), "verified")
}

// trustStores are notation's, with those that come built in.
func (a *app) trustStores() verify.Stores {
	if a.stores != nil {
		return a.stores(a.dir())
	}
	return a.dir()
}

// verifyReference resolves, lists and judges. The error is for an artifact
// that could not be resolved; all else is in the Report.
func (a *app) verifyReference(ctx context.Context, repo target, ref shuin.Reference, doc *policy.Document, o *verifyOptions, vo verify.Options) (*shuin.Report, error) {
	tag := a.startTagCheck(ctx, repo, ref)
	artifact, signatures, err := repo.Discover(ctx, ref)
	if err != nil {
		return nil, o.pin.unresolved(err)
	}
	a.logResolved(artifact)
	verifier := a.newVerifier(&o.revocation, o.installed)
	verifier.Chains = verify.NewChainCache(0) // signatures of one artifact often share a chain
	verifier.MaxSignatures = o.maxSignatures
	report := verifier.Verify(ctx, artifact, signatures, doc, vo)
	tag.judge(report)
	return report, nil
}

// newVerifier judges by the trust stores and plugins of the configuration
// directory; installed: signatures of AWS Signer too by its plugin.
func (a *app) newVerifier(r *revocationFlags, installed bool) *verify.Verifier {
	v := &verify.Verifier{Stores: a.trustStores(), Revocation: a.revocationChecker(r), Plugins: a.plugins()}
	if !installed {
		v.SignerStatus = &awsclient.Status{Client: a.awsClient()}
	}
	return v
}
