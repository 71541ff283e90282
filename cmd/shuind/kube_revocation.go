package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"math/rand/v2"
	"slices"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
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
// admitted by an answer from before.
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
	gone := 0
	if revoked > 0 {
		gone = k.g.gate.Forget(restsOn(certificates, signatures))
	}
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

// restsOn says whether a seal may rest on what was revoked. A report names the
// signer's certificate, the CA that issued it and the root: what was revoked
// between these is taken for that of all below the root. Of timestamps it says only
// that there is one.
func restsOn(certificates []revocation.Turn, signatures []revocation.StatusTurn) func(*shuin.SignatureReport) bool {
	return func(r *shuin.SignatureReport) bool {
		return slices.ContainsFunc(certificates, func(t revocation.Turn) bool {
			switch {
			case !t.Revoked:
				return false
			case t.Purpose == envelope.Timestamping:
				return r.TimestampTime != nil
			case t.Depth == 0:
				return r.Signer.Fingerprint == printOf(t.Certificate)
			case t.Depth == 1:
				return r.Signer.Issuer == t.Certificate.Subject.String()
			}
			return r.Signer.Root == t.Root.Subject.String()
		}) || slices.ContainsFunc(signatures, func(t revocation.StatusTurn) bool {
			job := t.Query.Job.String()
			if len(t.Revoked) == 1 && t.Revoked[0] == job {
				return r.SigningJob == job
			}
			return len(t.Revoked) > 0 && r.SigningProfile == t.Query.Profile.String()
		})
	}
}

// printOf names a certificate as reports do.
func printOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}
