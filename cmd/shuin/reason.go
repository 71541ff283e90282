package main

import (
	"fmt"
	"time"

	"github.com/shuin/shuin"
)

// signatureReason names the check that failed, as notation does, and why.
func (a *app) signatureReason(sig *shuin.SignatureReport) string {
	for _, c := range sig.Checks {
		if c.Enforced && (c.Outcome == shuin.Failed || c.Outcome == shuin.Unknown) && c.Err != nil {
			return fmt.Sprintf("%s validation failed. Failure reason: %s", c.Name, a.checkReason(sig, c))
		}
	}
	if a.asNotation() {
		// Notation knows nothing before the check of the envelope.
		return fmt.Sprintf("%s validation failed. Failure reason: %v", shuin.CheckIntegrity, sig.Err)
	}
	return sig.Err.Error()
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
func (a *app) logReport(report *shuin.Report) {
	log := a.debug()
	if p := report.Policy; p != nil {
		log.Debug(fmt.Sprintf("Check verification level: statement %q has level %q", p.Statement, p.Level))
	}
	for _, sig := range report.Signatures {
		log.Info(fmt.Sprintf("Verify signature against artifact %s: signature %s is %s", report.Artifact.Digest(), sig.Digest, sig.Result))
		for _, c := range sig.Checks {
			for _, words := range checkWords(c.Name) {
				log.Info(fmt.Sprintf("Validating %s: %s", words, c.Outcome))
			}
		}
	}
}

// checkWords are notation's words for a check, or for its parts.
func checkWords(name shuin.CheckName) []string {
	switch name {
	case shuin.CheckAuthenticity:
		return []string{"cert chain", "trust identity"}
	case shuin.CheckAuthenticTimestamp:
		return []string{"authentic timestamp"}
	}
	return []string{string(name)}
}
