package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerProfileCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "profile", Short: "Make, show, list, cancel and revoke signing profiles"}
	cmd.AddCommand(newSignerProfilePutCmd(a), newSignerProfileShowCmd(a), newSignerProfileListCmd(a), newSignerProfileCancelCmd(a), newSignerProfileRevokeCmd(a))
	return cmd
}

type signerProfileOptions struct {
	signerAPIFlags
	ref     string
	yes     bool
	version string
	reason  string
	from    string
}

func newSignerProfileShowCmd(a *app) *cobra.Command {
	var o signerProfileOptions
	cmd := &cobra.Command{
		Use:   "show [flags] <profile>",
		Short: "Show a signing profile",
		Args:  oneArg("one profile name or ARN", &o.ref),
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerProfileShow(cmd.Context(), &o) },
	}
	o.signerAPIFlags.add(cmd.Flags())
	return cmd
}

func (a *app) signerProfileShow(ctx context.Context, o *signerProfileOptions) error {
	admin, ref, err := o.profileAdmin(a, o.ref)
	if err != nil {
		return err
	}
	p, err := admin.Profile(ctx, ref)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, p)
	}
	revoked := ""
	if r := p.Revocation; r != nil {
		revoked = strings.TrimSpace(fmt.Sprintf("effective %s, at %s by %s", stamp(r.EffectiveFrom), stamp(r.RevokedAt), r.RevokedBy))
	}
	return a.details([2]string{"ARN", p.ARN}, [2]string{"Version", p.Version}, [2]string{"Version ARN", p.VersionARN},
		[2]string{"Status", p.Status}, [2]string{"Reason", p.Reason}, [2]string{"Revoked", revoked},
		[2]string{"Platform", p.PlatformID}, [2]string{"Validity", validityText(p.Validity)}, [2]string{"Certificate", materialText(p.Material)},
		[2]string{"Parameters", pairsText(p.Parameters)}, [2]string{"Tags", pairsText(p.Tags)})
}

// materialText is the certificate's ARN; empty: the signer makes its own.
func materialText(m *awsclient.SigningMaterial) string {
	if m == nil {
		return ""
	}
	return m.CertificateARN
}

func validityText(v *awsclient.Validity) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%d %s", v.Value, strings.ToLower(v.Type))
}
