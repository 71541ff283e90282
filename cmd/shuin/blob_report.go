package main

import (
	"errors"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/policy"
)

// logBlobQuestion tells -d what is asked, in notation's words.
func (a *app) logBlobQuestion(sig *shuin.Signature, doc *policy.Document, name string) {
	a.debug().Debug("Verify signature of media type " + sig.EnvelopeMediaType)
	s, err := doc.SelectBlob(name)
	if err != nil {
		return
	}
	identities := make([]string, len(s.TrustedIdentities))
	for i, id := range s.TrustedIdentities {
		identities[i] = id.String()
	}
	a.debug().Info(fmt.Sprintf("Trust policy configuration: &{Name:%s SignatureVerification:{VerificationLevel:%s VerifyTimestamp:%s} TrustStores:%v TrustedIdentities:%v GlobalPolicy:%t}",
		s.Name, s.Level.Name, s.VerifyTimestamp, s.TrustStores, identities, s.GlobalPolicy))
}

// printBlobReport writes the Report as verify does; the blob is called as it
// was written.
func (a *app) printBlobReport(o *blobVerifyOptions, report *shuin.Report) error {
	warned := false
	if accepted := report.Accepted(); accepted != nil {
		warned = a.warnLogged(accepted)
	}
	if o.output.value == "json" {
		var out any = report
		if report.Artifact.Digest() == "" {
			out = unreadBlob(o.blob, report)
		}
		if err := writeJSON(a.stdout, out); err != nil {
			return err
		}
	}
	switch report.Result {
	case shuin.Verified, shuin.PolicySkip:
		if o.output.value == "json" {
			return nil
		}
		return a.printVerified(report, visible(o.blob), warned)
	}
	code := shuin.CodeOf(report.Err)
	return &verdictError{undecided: report.Result == shuin.Undecided, err: &shuin.Error{
		Code: code, Message: "signature verification failed", Hint: a.hint(code, report.Err), Err: lineError{a.blobReason(report)},
	}}
}

// blobReason is why the one signature does not count, or could not be judged.
func (a *app) blobReason(report *shuin.Report) error {
	if len(report.Signatures) == 0 || report.Signatures[0].Err == nil {
		return report.Err
	}
	sig := &report.Signatures[0]
	name, reason := a.failedCheck(sig)
	if name == shuin.CheckArtifact && a.asNotation() {
		words := "integrity check failed. signature does not match the given blob"
		if shuin.CodeOf(sig.Err) == shuin.CodeInvalidInput {
			words = "failed to generate descriptor for given artifact. Error"
		}
		reason = words + ": " + reason
	}
	return errors.New(reason)
}
