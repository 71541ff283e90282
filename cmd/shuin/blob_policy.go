package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/policy"
)

func newBlobPolicyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy [command]",
		Short: "Manage blob trust policy configuration for arbitrary blob signature verification",
		Long:  "Manage the trust policy by which blobs are verified.",
	}
	cmd.AddCommand(newImportCmd(a, &blobPolicy), newShowCmd(a, &blobPolicy), newBlobPolicyInitCmd(a))
	return cmd
}

type blobPolicyInitOptions struct {
	statement policy.BlobStatement
	force     bool
}

func newBlobPolicyInitCmd(a *app) *cobra.Command {
	var o blobPolicyInitOptions
	s := &o.statement
	cmd := &cobra.Command{
		Use:   `init [flags] --name <policy_name> --trust-store "<store_type>:<store_name>" --trusted-identity "<trusted_identity>"`,
		Short: "Initialize blob trust policy configuration",
		Long: a.help(`Write a blob trust policy of one statement, level strict, to "trustpolicy.blob.json".

Example - Trust one signer of one trust store:
  {} blob policy init --name example --trust-store ca:example --trusted-identity "x509.subject: C=JP, ST=Tokyo, O=Example"

Example - The same, applied where "blob verify" names no statement:
  {} blob policy init --name example --trust-store ca:example --trusted-identity "x509.subject: C=JP, ST=Tokyo, O=Example" --global

Example - Trust everybody with a certificate of two trust stores, over the existing policy without being asked:
  {} blob policy init --name example --trust-store ca:one --trust-store ca:two --trusted-identity "*" --force
`),
		Args: cobra.ExactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.blobPolicyInit(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&s.Name, "name", "n", "", "name of the statement")
	fs.StringArrayVar(&s.TrustStores, "trust-store", nil, "trust store, as \"<store_type>:<store_name>\"; may be given more than once")
	fs.StringArrayVar(&s.TrustedIdentities, "trusted-identity", nil, "trusted identity, as \"x509.subject: <subject_of_signing_certificate>\" or, of a signing authority, as it has them; may be given more than once")
	fs.BoolVar(&s.Global, "global", false, "the statement applies where \"blob verify\" names none")
	fs.BoolVar(&o.force, "force", false, "override the existing blob trust policy configuration without prompt")
	for _, name := range []string{"name", "trust-store", "trusted-identity"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flags are declared above
		}
	}
	return cmd
}

func (a *app) blobPolicyInit(ctx context.Context, o *blobPolicyInitOptions) error {
	data, err := policy.NewBlobDocument(o.statement)
	if err != nil {
		return fmt.Errorf("invalid blob policy: %w", err)
	}
	path, err := a.replacePolicy(ctx, &blobPolicy, data, o.force)
	if err != nil || path == "" {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "Successfully initialized blob trust policy file to %s.\n", path)
	return err
}
