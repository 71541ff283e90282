package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shuin/shuin/internal/awsclient"
)

// newSignerCmd administers AWS Signer, and signers that speak its API.
func newSignerCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signer",
		Short: "Manage signing profiles and signing jobs of AWS Signer, or of a signer that speaks its API",
		Long: a.help(`Manage signing profiles and signing jobs of AWS Signer, or of a signer that speaks its API.

Credentials and region are those of any AWS tool; an ARN brings its own region. A profile is named by its name or by
its ARN, a job by its id or by its ARN.

Example - Make a signing profile:
  {} signer profile put build

Example - Revoke one signature ("{} inspect" shows its job):
  {} signer revoke --reason "built from a stolen branch" arn:aws:signer:us-west-2:111122223333:/signing-jobs/<job_id>

Example - Ask a signer of your own:
  {} signer profile list --endpoint-url https://signer.example.com --region us-west-2
`),
	}
	cmd.AddCommand(newSignerProfileCmd(a), newSignerJobCmd(a), newSignerRevokeCmd(a), newSignerPermissionCmd(a), newSignerTagCmd(a), newSignerPlatformCmd(a))
	return cmd
}

// signerAPIFlags say which signer, as whom, and how to print.
type signerAPIFlags struct {
	debug    bool
	endpoint string
	region   string
	profile  string
	output   outputFlag
}

func (s *signerAPIFlags) add(fs *pflag.FlagSet) {
	debugFlag(fs, &s.debug)
	fs.StringVar(&s.endpoint, "endpoint-url", "", "address of the signer (default: $AWS_ENDPOINT_URL_SIGNER, $AWS_ENDPOINT_URL, else AWS's)")
	fs.StringVar(&s.region, "region", "", "AWS region (default: that of the ARN, else $AWS_REGION or the AWS profile's)")
	fs.StringVar(&s.profile, "aws-profile", "", "profile of the AWS configuration files (default: $AWS_PROFILE)")
	s.output.add(fs, "text", "json")
}

// admin is the door that the flags choose.
func (s *signerAPIFlags) admin(a *app) (*awsclient.Admin, error) {
	a.startDebug(s.debug)
	if err := s.output.check(); err != nil {
		return nil, err
	}
	return &awsclient.Admin{Client: a.awsClient(), Settings: awsclient.Settings{Region: s.region, Profile: s.profile, Endpoint: s.endpoint}}, nil
}

// profileAdmin is that door, and the signing profile that was written.
func (s *signerAPIFlags) profileAdmin(a *app, written string) (*awsclient.Admin, awsclient.ProfileRef, error) {
	ref, err := awsclient.ParseProfileRef(written)
	if err != nil {
		return nil, ref, err
	}
	admin, err := s.admin(a)
	return admin, ref, err
}

func (s *signerAPIFlags) json() bool { return s.output.value == "json" }

// oneArg is the Args rule of commands about one thing.
func oneArg(what string, into *string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return invalid(fmt.Sprintf("expecting %s: use `%s --help` to see what parameters are required", what, cmd.CommandPath()))
		}
		*into = args[0]
		return nil
	}
}

// noArgs is the Args rule of lists.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) != 0 {
		return invalid(fmt.Sprintf("unexpected argument %q: use `%s --help` to see what parameters there are", args[0], cmd.CommandPath()))
	}
	return nil
}

// details prints the lines of one thing, those that have a value.
func (a *app) details(pairs ...[2]string) error {
	table := newTable(a.stdout)
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(table, "%s:\t%s\n", p[0], visible(p[1]))
		}
	}
	return table.Flush()
}

// rows prints a table.
func (a *app) rows(head []string, rows [][]string) error {
	table := newTable(a.stdout)
	fmt.Fprintln(table, strings.Join(head, "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = visible(r[i])
		}
		fmt.Fprintln(table, strings.Join(r, "\t"))
	}
	return table.Flush()
}

// warnMore says that a list was cut.
func (a *app) warnMore(more bool, max int) {
	if more {
		a.warnf("there are more than %d: raise --max, or leave it out for all", max)
	}
}

func maxFlag(fs *pflag.FlagSet, max *int, what string) {
	fs.IntVar(max, "max", 0, "at most so many "+what+"; 0 for all")
}

func checkMax(max int) error {
	if max < 0 {
		return invalidf("max value %d must not be negative", max)
	}
	return nil
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// pairsText is a map on one line, in order of its keys.
func pairsText(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, ", ")
}

// checkReason holds a reason for a revocation against what the API takes.
func checkReason(reason string) error {
	if n := len([]rune(reason)); n < 1 || n > 500 {
		return invalid("flag --reason is required: 1 to 500 characters that say why")
	}
	return nil
}
