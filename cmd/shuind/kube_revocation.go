package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/rand/v2"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/verify"
)

// revocationLook asks between decisions what was revoked of what they rest on.
type revocationLook struct {
	checker  *revocation.Checker
	statuses *revocation.Statuses
}

// lookAtRevocation looks again and again until ctx ends, in every replica: each
// answers by what it keeps itself. Not all of them, nor of many clusters, at one
// moment.
func (k *kubePart) lookAtRevocation(ctx context.Context) {
	for {
		tenth := limits.KubeRevocationEvery / 10
		if wait(ctx, limits.KubeRevocationEvery-tenth+rand.N(2*tenth)) != nil { //nolint:gosec // no secret
			return
		}
		k.lookOnce(ctx)
	}
}

// lookOnce asks about what was decided since the sweep before the last, and where
// something was revoked, or is good again, has what runs judged soon, and nothing
// admitted by an answer from before that rests on what was revoked.
func (k *kubePart) lookOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, limits.KubeRevocationTime)
	defer cancel()
	now := k.g.now()
	since := now.Add(-k.c.Sweep.Every - limits.KubeSweepTime - limits.GateAdmitLife)
	certificates := k.look.checker.Look(ctx, now, since)
	signatures := k.look.statuses.Look(ctx, since)
	k.metrics.looks.Inc()
	if len(certificates)+len(signatures) == 0 {
		return
	}
	revoked := k.tellTurns(certificates, signatures)
	gone := k.g.gate.Forget(revokedGrounds(certificates, signatures))
	k.g.log.Warn("revocation changed: what runs is judged again", "revoked", revoked, "goodAgain", len(certificates)+len(signatures)-revoked, "lastGoodAnswersDropped", gone)
	nudge(k.sweeps)
}

// tellTurns logs what turned, the first of many, and counts what was revoked.
func (k *kubePart) tellTurns(certificates []revocation.Turn, signatures []revocation.StatusTurn) (revoked int) {
	for i, t := range certificates {
		if t.Revoked {
			revoked++
		}
		if i < limits.KubeRevocationTold {
			k.g.log.Warn("the revocation of a certificate changed", "subject", oneLine(t.Certificate.Subject.String()), "sha256", printOf(t.Certificate), "revoked", t.Revoked)
		}
	}
	for i, t := range signatures {
		if len(t.Revoked) > 0 {
			revoked++
		}
		if i < limits.KubeRevocationTold {
			k.g.log.Warn("the revocation of a signature changed", "job", t.Query.Job.String(), "profile", t.Query.Profile.String(), "revoked", len(t.Revoked) > 0)
		}
	}
	k.metrics.turns.WithLabelValues("revoked").Add(float64(revoked))
	k.metrics.turns.WithLabelValues("good").Add(float64(len(certificates) + len(signatures) - revoked))
	return revoked
}

// revokedGrounds are what was revoked, each certificate by itself, as answers keep
// what they rest on: what a tenant's own CA revokes has no part in others' answers,
// whatever names it gives. Where the signer names what nobody asked about, the
// signature alone counts no more that it was asked about.
func revokedGrounds(certificates []revocation.Turn, signatures []revocation.StatusTurn) (out []verify.Ground) {
	for _, t := range certificates {
		if t.Revoked {
			out = append(out, verify.CertificateGround(t.Certificate))
		}
	}
	for _, t := range signatures {
		if len(t.Revoked) == 0 {
			continue
		}
		out = append(out, verify.SignerGround(t.Query, t.Query.Job.String()))
		for _, name := range t.Revoked {
			out = append(out, verify.SignerGround(t.Query, name))
		}
	}
	return out
}

// printOf names a certificate as reports do.
func printOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
