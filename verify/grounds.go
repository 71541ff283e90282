package verify

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"slices"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
)

// Ground is something that a good signature rests on and that may be revoked: a
// certificate, or what AWS Signer names. Nobody makes another's by giving what is
// his own the same name.
type Ground [sha256.Size]byte

// CertificateGround is a certificate: the SHA-256 of its DER.
func CertificateGround(c *x509.Certificate) Ground { return sha256.Sum256(c.Raw) }

// SignerGround is what AWS Signer names in an answer to a query: a signing job, a
// profile version, a certificate's id. The name counts under the root alone that
// the query is about: whoever has a root of his own may write any name.
func SignerGround(q awsprofile.StatusQuery, name string) Ground {
	var root string
	if n := len(q.CertificateIDs); n > 0 {
		root = q.CertificateIDs[n-1]
	}
	return sha256.Sum256([]byte(root + "\x00" + name)) // no DER begins like this
}

// grounds are what a signature rests on, as far as one of the judgements is good:
// the certificates of its chain and its timestamp's, and what AWS Signer was asked
// about. Sorted, each once.
func (e *examination) grounds(answers []Judgement) []Ground {
	var out []Ground
	certificates := func(chain []*x509.Certificate) {
		for _, c := range chain {
			out = append(out, CertificateGround(c))
		}
	}
	var asked, stamped bool
	for i := range answers {
		j := &answers[i]
		if j.Result != shuin.Verified {
			continue
		}
		if out == nil {
			certificates(e.facts.Chain)
		}
		if j.Signed.Job.ID != "" && !asked {
			asked = true
			q := awsprofile.StatusQuery{CertificateIDs: awsprofile.CertificateIDs(e.facts.Chain)}
			for _, name := range append([]string{j.Signed.Job.String(), j.Signed.Profile.String()}, q.CertificateIDs...) {
				out = append(out, SignerGround(q, name))
			}
		}
		stamped = stamped || !j.TimestampTime.IsZero()
	}
	for _, t := range e.timestamps {
		if stamped && t.Token != nil {
			certificates(t.Token.Chain)
		}
	}
	return SortedGrounds(out)
}

// SortedGrounds sorts grounds in place and leaves each in once.
func SortedGrounds(g []Ground) []Ground {
	slices.SortFunc(g, func(a, b Ground) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(g)
}
