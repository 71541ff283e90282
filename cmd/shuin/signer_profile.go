package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awsclient"
)

func newSignerProfileCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "profile", Short: "Make, show, list, cancel and revoke signing profiles"}
	cmd.AddCommand(newSignerProfilePutCmd(a), newSignerProfileShowCmd(a), newSignerProfileListCmd(a), newSignerProfileCancelCmd(a), newSignerProfileRevokeCmd(a))
	return cmd
}

type signerProfilePutOptions struct {
	signerAPIFlags
	name       string
	platform   string
	validity   string
	parameters []string
	tags       []string
}

func newSignerProfilePutCmd(a *app) *cobra.Command {
	var o signerProfilePutOptions
	cmd := &cobra.Command{
		Use:   "put [flags] <profile_name>",
		Short: "Make a signing profile, in the account of the credentials",
		Long: a.help(`Make a signing profile, in the account of the credentials.

Example - Make a profile whose signatures are good for a year:
  {} signer profile put --validity 12months build

Example - Make a profile on a signer of your own whose signatures plain notation verifies:
  {} signer profile put --endpoint-url https://signer.example.com --region us-west-2 --parameter profileKind=standard build
`),
		Args: oneArg("one profile name", &o.name),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.signerProfilePut(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.StringVar(&o.platform, "platform-id", awsprofile.PlatformID, "signing platform")
	fs.StringVar(&o.validity, "validity", "", "how long signatures are good: a number and days, months or years, as in 12months (default: the signer's, 135 months)")
	fs.StringArrayVar(&o.parameters, "parameter", nil, "{key}={value} pairs of signing parameters")
	fs.StringArrayVar(&o.tags, "tag", nil, "{key}={value} pairs to tag the profile with")
	return cmd
}

func (a *app) signerProfilePut(ctx context.Context, o *signerProfilePutOptions) error {
	if !awsprofile.ValidName(o.name) {
		if _, err := awsprofile.ParseProfile(o.name); err == nil {
			return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "a profile is made by its name, in the account of the credentials: an ARN cannot be chosen",
				Hint: "give the last part of the ARN, and --region"}
		}
		return invalidf("%q is no profile name: 2 to 64 letters, digits and underscores", o.name)
	}
	n := awsclient.NewProfile{Name: o.name, PlatformID: o.platform}
	var err error
	if n.Parameters, err = parsePairs("parameter", o.parameters); err != nil {
		return err
	}
	if n.Tags, err = parsePairs("tag", o.tags); err != nil {
		return err
	}
	if n.Validity, err = parseValidity(o.validity); err != nil {
		return err
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	p, err := admin.PutProfile(ctx, n)
	if err != nil {
		return err
	}
	if o.json() {
		return writeJSON(a.stdout, p)
	}
	return a.details([2]string{"ARN", p.ARN}, [2]string{"Version", p.Version}, [2]string{"Version ARN", p.VersionARN})
}

// parseValidity reads a number and a unit; nil for the empty text.
func parseValidity(s string) (*awsclient.Validity, error) {
	if s == "" {
		return nil, nil
	}
	digits := strings.TrimRight(strings.TrimSpace(s), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.ToUpper(strings.TrimSpace(strings.TrimSpace(s)[len(digits):]))
	if !strings.HasSuffix(unit, "S") {
		unit += "S"
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > 1_000_000 || !slices.Contains([]string{"DAYS", "MONTHS", "YEARS"}, unit) {
		return nil, invalidf("validity %q is not a number and days, months or years, as in 12months", s)
	}
	return &awsclient.Validity{Value: n, Type: unit}, nil
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
	ref, err := awsclient.ParseProfileRef(o.ref)
	if err != nil {
		return err
	}
	admin, err := o.admin(a)
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
		[2]string{"Platform", p.PlatformID}, [2]string{"Validity", validityText(p.Validity)},
		[2]string{"Parameters", pairsText(p.Parameters)}, [2]string{"Tags", pairsText(p.Tags)})
}

func validityText(v *awsclient.Validity) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%d %s", v.Value, strings.ToLower(v.Type))
}

type signerProfileListOptions struct {
	signerAPIFlags
	canceled bool
	platform string
	statuses []string
	max      int
}

func newSignerProfileListCmd(a *app) *cobra.Command {
	var o signerProfileListOptions
	cmd := &cobra.Command{
		Use: "list [flags]", Aliases: []string{"ls"},
		Short: "List the signing profiles of the account",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.signerProfileList(cmd.Context(), &o) },
	}
	fs := cmd.Flags()
	o.signerAPIFlags.add(fs)
	fs.BoolVar(&o.canceled, "include-canceled", false, "also list cancelled profiles")
	fs.StringVar(&o.platform, "platform-id", "", "only profiles of this signing platform")
	fs.StringSliceVar(&o.statuses, "status", nil, "only profiles of these statuses: Active, Canceled, Revoked")
	maxFlag(fs, &o.max, "profiles")
	return cmd
}

func (a *app) signerProfileList(ctx context.Context, o *signerProfileListOptions) error {
	if err := checkMax(o.max); err != nil {
		return err
	}
	for _, s := range o.statuses {
		if !slices.Contains([]string{"Active", "Canceled", "Revoked"}, s) {
			return invalidf("status %q is not one of Active, Canceled and Revoked", s)
		}
	}
	admin, err := o.admin(a)
	if err != nil {
		return err
	}
	list, more, err := admin.Profiles(ctx, awsclient.ProfileFilter{Canceled: o.canceled, PlatformID: o.platform, Statuses: o.statuses, Max: o.max})
	if err != nil {
		return err
	}
	a.warnMore(more, o.max)
	if o.json() {
		return writeJSON(a.stdout, struct {
			Profiles []awsclient.Profile `json:"profiles"`
			More     bool                `json:"more,omitempty"`
		}{list, more})
	}
	var rows [][]string
	for _, p := range list {
		rows = append(rows, []string{p.Name, p.Status, p.Version, validityText(p.Validity), p.ARN})
	}
	return a.rows([]string{"NAME", "STATUS", "VERSION", "VALIDITY", "ARN"}, rows)
}
