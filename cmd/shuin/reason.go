package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// signatureReason names the check that failed, as notation does, and why.
func (a *app) signatureReason(sig *shuin.SignatureReport) string {
	name, reason := a.failedCheck(sig)
	if name == "" {
		return reason
	}
	return fmt.Sprintf("%s validation failed. Failure reason: %s", name, reason)
}

// failedCheck is the check for which sig did not count, empty where there was
// none, and why.
func (a *app) failedCheck(sig *shuin.SignatureReport) (shuin.CheckName, string) {
	for _, c := range sig.Checks {
		if c.Enforced && (c.Outcome == shuin.Failed || c.Outcome == shuin.Unknown) && c.Err != nil {
			return c.Name, a.checkReason(sig, c)
		}
	}
	if a.asNotation() {
		// Notation knows nothing before the check of the envelope.
		return shuin.CheckIntegrity, sig.Err.Error()
	}
	return "", sig.Err.Error()
}

// checkReason is why a check failed. Under the name notation the commonest
// reasons begin with its own words, which scripts look for.
func (a *app) checkReason(sig *shuin.SignatureReport, c shuin.Check) string {
	if c.Err == nil {
		return "no reason given"
	}
	if a.asNotation() {
		if words := notationWords(sig, c); words != "" {
			return words + ": " + c.Err.Error()
		}
	}
	return c.Err.Error()
}

func notationWords(sig *shuin.SignatureReport, c shuin.Check) string {
	code := shuin.CodeOf(c.Err)
	switch {
	case c.Name == shuin.CheckUserMetadata && code == shuin.CodeMetadataMismatch:
		return "unable to find specified metadata in the signature"
	case c.Name == shuin.CheckExpiry && code == shuin.CodeExpired && sig.Expiry != nil:
		return fmt.Sprintf("digital signature has expired on %q", sig.Expiry.UTC().Format(time.RFC1123Z))
	case c.Name != shuin.CheckAuthenticity || code != shuin.CodeUntrusted:
		return ""
	case sig.TrustStore == "":
		return "the signature's certificate chain does not contain any trusted certificate"
	}
	return "signing certificate from the digital signature does not match the X.509 trusted identities"
}

// logReport tells -d which checks were made of which signature.
func (a *app) logReport(report *shuin.Report, doc *policy.Document) {
	if a.log == nil {
		return
	}
	var s *policy.Statement
	if p := report.Policy; p != nil {
		a.log.Debug(fmt.Sprintf("Check verification level: statement %q has level %q", p.Statement, p.Level))
		i := slices.IndexFunc(doc.Statements, func(s policy.Statement) bool { return s.Name == p.Statement })
		s = &doc.Statements[i]
	}
	for _, sig := range report.Signatures {
		if d := report.Artifact.Digest(); d != "" { // a blob that was not read has none
			a.log.Info(fmt.Sprintf("Verify signature against artifact %s: signature %s is %s", d, sig.Digest, sig.Result))
		}
		for _, c := range sig.Checks {
			for _, words := range checkWords(&sig, c, s) {
				a.log.Info(words)
			}
		}
		if sig.Err != nil {
			_, reason := a.failedCheck(&sig)
			a.log.Warn(fmt.Sprintf("Signature %s failed verification with error: %s", sig.Digest, oneLine(reason)))
		}
	}
}

// checkWords say in notation's words which check was made, and how it ended.
func checkWords(sig *shuin.SignatureReport, c shuin.Check, s *policy.Statement) []string {
	words := func(name string) string { return fmt.Sprintf("Validating %s: %s", name, c.Outcome) }
	switch c.Name {
	case shuin.CheckAuthenticity:
		return []string{words("cert chain"), words("trust identity")}
	case shuin.CheckAuthenticTimestamp:
		out := []string{words("authentic timestamp"), timestampWords(sig, s)}
		if c.Outcome == shuin.Passed && sig.TimeSource == shuin.TimeSourceTimestamp {
			out = append(out, "Timestamp verification: Success")
		}
		return out
	case shuin.CheckRevocation:
		if c.Outcome == shuin.Passed {
			return []string{words("revocation"), "No verification impacting errors encountered while checking revocation, status is OK"}
		}
	}
	return []string{words(string(c.Name))}
}

// timestampWords say whether a timestamp was verified (TSA-02).
func timestampWords(sig *shuin.SignatureReport, s *policy.Statement) string {
	const disabled = "Timestamp verification disabled: "
	switch {
	case sig.Scheme != string(envelope.SchemeX509):
		return disabled + "the signing scheme is " + sig.Scheme
	case len(s.StoresOf(trust.TSA)) == 0:
		return disabled + "no tsa trust store is configured in trust policy"
	case s.VerifyTimestamp == policy.AfterCertExpiry && sig.TimeSource != shuin.TimeSourceTimestamp && sig.Result == shuin.Verified:
		return fmt.Sprintf("%sverifyTimestamp is set to %q and signing cert chain unexpired", disabled, policy.AfterCertExpiry)
	}
	return "Performing timestamp verification..."
}
