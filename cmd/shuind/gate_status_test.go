//go:build unix

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

// TestSignaturesWithAnImportedCertificateAreAskedOfTheSignerInTheProcess: its
// chain is a company's, and it comes while the gate runs.
func TestSignaturesWithAnImportedCertificateAreAskedOfTheSignerInTheProcess(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	must(t, n.begin(t.Context()))
	others := &otherStatus{}
	status, err := newOwnStatus(t.Context(), n, others)
	must(t, err)
	chain := signingChain("good")
	_, said := b.command(t, b.writeChain(t, "good", chain)...)
	arn := regexp.MustCompile(`arn:aws:acm:\S+`).FindString(said)
	_, err = n.service.PutSigningProfile(t.Context(), caller(), signing.PutSigningProfileInput{
		ProfileName: "aws", PlatformID: "Notation-OCI-SHA384-ECDSA", SigningMaterial: &signing.SigningMaterial{CertificateARN: arn},
	})
	must(t, err)
	job := signs(t, n, "aws", "a")
	q := awsprofile.StatusQuery{Profile: job.Profile, Job: job.ARN, SignedAt: b.at, CertificateIDs: awsprofile.CertificateIDs(chain.Certs)}
	revoked, err := status.RevocationStatus(t.Context(), q, nil)
	if err != nil || len(revoked) != 0 || others.asked != 0 {
		t.Errorf("revoked %v, %v; another signer was asked %d times", revoked, err, others.asked)
	}
	must(t, n.service.RevokeSignature(t.Context(), caller(), signing.RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"}))
	revoked, err = status.RevocationStatus(t.Context(), q, nil)
	if err != nil || !slices.Contains(revoked, job.ARN.String()) {
		t.Errorf("after its revocation: revoked %v, %v", revoked, err)
	}
	q.CertificateIDs = []string{strings.Repeat("0a", 96)} // another certificate below a CA that is trusted
	q.Job.ID = "forged"
	revoked, err = status.RevocationStatus(t.Context(), q, nil)
	if err != nil || !slices.Contains(revoked, q.Job.String()) || others.asked != 0 {
		t.Errorf("forged with another certificate: revoked %v, %v; another signer was asked %d times", revoked, err, others.asked)
	}
	q.Profile.Version = "0123456789"
	if _, err := status.RevocationStatus(t.Context(), q, nil); err == nil || others.asked != 1 {
		t.Errorf("a version that is not ours: %v, asked %d times", err, others.asked)
	}
	must(t, n.store.Close())
	if _, err := status.RevocationStatus(t.Context(), q, nil); shuin.CodeOf(err) != shuin.CodeRevocationUnavailable || others.asked != 1 {
		t.Errorf("without a store: %v, asked %d times", err, others.asked)
	}
}
