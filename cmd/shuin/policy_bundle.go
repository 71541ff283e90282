package main

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin/bundle"
)

type policyBundleOptions struct {
	bundleSignFlags
	debug         bool
	policy, trust string
	output        string
	sequence      int64
	sign          bool
}

func newPolicyBundleCmd(a *app) *cobra.Command {
	var o policyBundleOptions
	cmd := &cobra.Command{
		Use:   "bundle [flags] --policy <policy_file> --output <bundle_file>",
		Short: "Put a policy and its trust stores into one file, and sign it",
		Long: a.help(`Put a pipeline policy (or a trust policy), with the trust stores that it names, into one file: a policy bundle. A gate or function that is told
where bundles are takes a new one without being built or started again; that of a digest it is told, or one that is signed by whom it is told.

With --sign the bundle is signed as "{} sign" signs images, and the signature lies beside it, named <bundle_file>.jws.sig (or .cose.sig), and once
more by the bundle's digest, so that one bundle's signature does not take another's place: a signature of a blob, which "notation blob
verify" verifies too. Give it an end (--expiry): who holds back newer bundles is noticed then.
The sequence rises from bundle to bundle, and nobody goes back to a lower one.

Example - Build a bundle, and sign it for 30 days:
  {} policy bundle --policy pipeline.yaml --output policy.json --sign --key policy --expiry 720h

Example - Look into one, and verify its signature as a function would:
  {} policy bundle show policy.json
  {} policy bundle show policy.json --signature policy.json.jws.sig --identity "x509.subject: C=JP, ST=Tokyo, O=Example, CN=policy" --trust-store ca:policy
`),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return err
			}
			return a.policyBundle(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	debugFlag(fs, &o.debug)
	policyFlag(fs, &o.policy)
	fs.StringVar(&o.trust, "trust", "", "notation configuration directory with the trust stores (default: the one in use)")
	fs.StringVar(&o.output, "output", "", "the bundle's file; one that is there is replaced")
	fs.Int64Var(&o.sequence, "sequence", 0, "the bundle's number, higher than that of all before it (default: seconds since 1970)")
	fs.BoolVar(&o.sign, "sign", false, "sign the bundle")
	o.bundleSignFlags.add(a, cmd)
	cmd.AddCommand(newPolicyBundleShowCmd(a))
	return cmd
}

// check refuses flags that are empty, or of no effect.
func (o *policyBundleOptions) check(fs *pflag.FlagSet) error {
	switch {
	case o.output == "":
		return invalid("no file for the bundle was given: use --output FILE")
	case fs.Changed("trust") && o.trust == "":
		return invalid("flag --trust cannot be empty")
	case fs.Changed("sequence") && o.sequence <= 0:
		return invalidf("flag --sequence is %d; a number of 1 or more is wanted", o.sequence)
	case o.sign:
		return o.bundleSignFlags.check(fs)
	}
	var err error
	o.each(func(name string) {
		if fs.Changed(name) && err == nil {
			err = invalidf("flag --%s is about the signature: it goes with --sign", name)
		}
	})
	return err
}

// policyBundle writes nothing before all is made.
func (a *app) policyBundle(ctx context.Context, o *policyBundleOptions) error {
	a.startDebug(o.debug)
	p, err := loadPipelinePolicy(ctx, o.policy)
	if err != nil {
		return err
	}
	text, err := readPolicy(ctx, o.policy)
	if err != nil {
		return err
	}
	if digest.FromBytes(text) != p.Digest() {
		return invalidf("policy %s changed while it was read", o.policy)
	}
	c := bundle.Content{Sequence: o.sequence, Policy: text}
	if c.Sequence == 0 {
		c.Sequence = a.now().Unix()
	}
	if c.TrustStores, err = a.bundledStores(ctx, p, o.trust); err != nil {
		return err
	}
	data, err := bundle.Build(c)
	if err != nil {
		return err
	}
	for _, w := range p.Lint(a.now()) {
		a.warnf("%s: %s", o.policy, w)
	}
	var made *bundleSignature
	if o.sign {
		if made, err = a.signBundle(ctx, &o.bundleSignFlags, data); err != nil {
			return err
		}
	}
	if err := writeBundle(o.output, data, made); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Bundle:     %s\nDigest:     %s\nSequence:   %d, %s\nPolicy:     %s\n", oneLine(o.output), digest.FromBytes(data), c.Sequence, sequenceTime(c.Sequence), p.Digest())
	if made != nil {
		fmt.Fprintf(a.stdout, "Signature:  %s, by %s\nBy digest:  %s\n", oneLine(o.output+made.suffix), oneLine(made.signer), oneLine(bundle.SignatureName(o.output, data, made.suffix)))
	}
	return nil
}
