package verify_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/verify"
)

func groundsOf(chains ...[]*x509.Certificate) (out []verify.Ground) {
	for _, chain := range chains {
		for _, c := range chain {
			out = append(out, verify.CertificateGround(c))
		}
	}
	return out
}

func sorted(g []verify.Ground) []verify.Ground {
	slices.SortFunc(g, func(a, b verify.Ground) int { return bytes.Compare(a[:], b[:]) })
	return g
}

func TestAGoodSealRestsOnWhatWasVerifiedOfIt(t *testing.T) {
	aws := func(s *scene) []verify.Ground {
		q := awsprofile.StatusQuery{CertificateIDs: awsprofile.CertificateIDs(s.chain.Certs)}
		out := groundsOf(s.chain.Certs)
		for _, name := range append([]string{awsJob, awsVersion}, q.CertificateIDs...) {
			out = append(out, verify.SignerGround(q, name))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		scene func() *scene
		want  func(*scene) []verify.Ground
	}{
		{"its chain, root included", func() *scene { return newScene(t) }, func(s *scene) []verify.Ground { return groundsOf(s.chain.Certs) }},
		{"the chain of its timestamp", func() *scene {
			s := newScene(t)
			s.stamped(now.Add(-time.Hour), nil)
			return s
		}, func(s *scene) []verify.Ground { return groundsOf(s.chain.Certs, s.tsa.Certs) }},
		{"no timestamp that was not needed", func() *scene {
			s := newScene(t)
			s.stamped(now.Add(-time.Hour), nil)
			s.trusts = s.trusts[:1]
			return s
		}, func(s *scene) []verify.Ground { return groundsOf(s.chain.Certs) }},
		{"nothing where it is not good", func() *scene {
			s := newScene(t)
			s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Nobody"}
			return s
		}, func(*scene) []verify.Ground { return nil }},
		{"what AWS Signer was asked about", func() *scene { s, _ := signerScene(t); return s }, aws},
		{"nothing where AWS Signer revoked it", func() *scene {
			s, status := signerScene(t)
			status.revoked = []string{awsJob}
			return s
		}, func(*scene) []verify.Ground { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.scene()
			out := s.survey(t.Context(), s.statement(nil), s.statement(nil))
			if out.Err != nil || len(out.Signatures) != 1 {
				t.Fatalf("%+v", out)
			}
			if d := cmp.Diff(sorted(c.want(s)), out.Signatures[0].Grounds); d != "" {
				t.Errorf("(-want +got) %s; %+v", d, out.Signatures[0].Answers[0])
			}
		})
	}
}

func TestANameOfASignerCountsUnderItsRootAlone(t *testing.T) {
	query := func(c []*x509.Certificate) awsprofile.StatusQuery {
		return awsprofile.StatusQuery{CertificateIDs: awsprofile.CertificateIDs(c)}
	}
	own, other := query(signingChain.Certs), query(otherChain.Certs)
	if verify.SignerGround(own, awsJob) == verify.SignerGround(other, awsJob) {
		t.Error("another root's is the same")
	}
	if verify.SignerGround(own, awsJob) != verify.SignerGround(query(signingChain.Certs[1:]), awsJob) {
		t.Error("another leaf's is not the same")
	}
}
