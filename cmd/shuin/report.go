package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/shuin/shuin"
)

// printReport writes a verification's Report: the result on stdout, reasons
// and warnings on stderr. The error, where it is not verified, carries the
// exit status and the hint.
func (a *app) printReport(ctx context.Context, o *verifyOptions, repo target, report *shuin.Report) error {
	warned := a.warnTag("verify", report.Artifact.Written())
	if accepted := report.Accepted(); accepted != nil {
		warned = a.warnLogged(accepted) || warned
	}
	if o.output.value == "json" {
		if err := writeJSON(a.stdout, report); err != nil {
			return err
		}
	}
	switch report.Result {
	case shuin.Verified, shuin.PolicySkip:
		if o.output.value == "json" {
			return nil
		}
		return a.printVerified(report, report.Artifact.String(), warned)
	}
	a.printReasons(report)
	return &verdictError{
		err:       a.failure(ctx, repo, cmp.Or(o.scope, report.Artifact.Name()), report),
		undecided: report.Result == shuin.Undecided,
	}
}

// warnLogged warns of checks that failed and were only to be logged.
func (a *app) warnLogged(sig *shuin.SignatureReport) bool {
	warnings := sig.Warnings()
	for _, c := range warnings {
		a.warnf("%s was set to %q and failed with error: %s", c.Name, "log", oneLine(a.checkReason(sig, c)))
	}
	return len(warnings) > 0
}

// printVerified writes the good result, or that nothing was verified; name is
// the artifact's.
func (a *app) printVerified(report *shuin.Report, name string, warned bool) error {
	if warned {
		fmt.Fprintln(a.stdout)
	}
	if report.Result == shuin.PolicySkip {
		_, err := fmt.Fprintln(a.stdout, "Trust policy is configured to skip signature verification for", name)
		return err
	}
	if _, err := fmt.Fprintln(a.stdout, "Successfully verified signature for", name); err != nil {
		return err
	}
	accepted := report.Accepted()
	if accepted == nil || len(accepted.Metadata) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout, "\nThe artifact was signed with the following user metadata.")
	table := newTable(a.stdout)
	fmt.Fprintln(table, "\nKEY\tVALUE\t")
	for _, key := range slices.Sorted(maps.Keys(accepted.Metadata)) {
		fmt.Fprintf(table, "%s\t%s\t\n", visible(key), visible(accepted.Metadata[key]))
	}
	return table.Flush()
}

// printReasons says of each signature why it did not count.
func (a *app) printReasons(report *shuin.Report) {
	for _, sig := range report.Signatures {
		if sig.Err == nil {
			continue
		}
		fmt.Fprintf(a.stderr, "%s: %s: %s\n", sig.Digest, shuin.CodeOf(sig.Err), oneLine(a.signatureReason(&sig)))
	}
}
