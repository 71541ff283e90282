package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// TimestampEvidence is what is known of a signature's timestamp countersignature.
type TimestampEvidence struct {
	// Anchors are the tsa stores the statement names.
	Anchors Anchors
	// Token is the parsed token; its signature, imprint and certificate rules
	// are checked, its chain is not trusted yet. Nil when Err is set.
	Token *envelope.Timestamp
	Err   error
	// Revocation is of Token.Chain, one each; nil: not asked yet.
	Revocation []Revocation
}

// timestampDue says whether the timestamp is to be verified: exactly when the
// scheme is notary.x509, the statement names a tsa store, and verifyTimestamp
// is always, or afterCertExpiry and a certificate expired (TSA-02, ATT-11).
func (j *judging) timestampDue() bool {
	if j.Facts.Envelope.Scheme != envelope.SchemeX509 || !namesTSA(j.Statement) {
		return false
	}
	if j.Statement.VerifyTimestamp == policy.AfterCertExpiry {
		return j.Now.After(j.Facts.chain.validity.to)
	}
	return true
}

func namesTSA(s *policy.Statement) bool {
	for _, n := range s.TrustStores {
		if n.Type == trust.TSA {
			return true
		}
	}
	return false
}

// presentTime judges the time of a signature without a timestamp to verify:
// under notary.x509 every certificate, root included, has to be valid now
// (CERT-15, VER-05: what the signer says of its time is no evidence, ATT-04,
// ATT-13); under a signing authority, at its authentic signing time.
func (j *judging) presentTime() {
	e := j.Facts.Envelope
	if e.Scheme == envelope.SchemeSigningAuthority {
		// A time to come is taken as it stands, as upstream takes it: the
		// specification holds it to the certificates' validity alone (VER-05),
		// and whoever may say the time may say it wrongly in either direction.
		// The same goes for the time of a timestamp (TSA-04).
		at := e.AuthenticSigningTime
		err := j.outsideValidity(at, at, "the authentic signing time "+stamp(at))
		j.set(iTimestamp, outcomeOf(err), err)
		j.out.Time = at
		if j.out.TrustStore != "" {
			j.out.TimeSource = shuin.TimeSourceSigningAuthority
		}
		return
	}
	err := j.outsideValidity(j.Now, j.Now, "now")
	j.set(iTimestamp, outcomeOf(err), err)
	j.ends(iTimestamp, j.Facts.chain.validity.to)
}

// outsideValidity names the first certificate of the signing chain that is not
// valid throughout [from, to]; nil when there is none.
func (j *judging) outsideValidity(from, to time.Time, when string) error {
	if j.Facts.chain.validity.holds(from, to) {
		return nil
	}
	for _, c := range j.Facts.Chain {
		switch {
		case from.Before(c.NotBefore):
			return &shuin.Error{
				Code:    shuin.CodeExpired,
				Message: fmt.Sprintf("certificate %q is valid from %s, which is after %s", c.Subject, stamp(c.NotBefore), when),
				Hint:    "check the clock; otherwise have the artifact signed with a valid certificate",
			}
		case to.After(c.NotAfter):
			return &shuin.Error{
				Code:    shuin.CodeExpired,
				Message: fmt.Sprintf("%s is after certificate %q validity period, it was expired at %q", when, c.Subject, c.NotAfter.Format(time.RFC1123Z)),
				Hint:    "a signature outlives its certificate only with a timestamp, and a tsa: trust store in the trust policy",
			}
		}
	}
	return nil
}

// timestampToken judges existence, integrity, authenticity and time of the
// timestamp (TSA-02 to TSA-04).
func (j *judging) timestampToken() {
	if len(j.Facts.Envelope.TimestampToken) == 0 {
		j.set(iTimestamp, shuin.Failed, j.noTimestamp())
		return
	}
	if j.Timestamp == nil {
		j.want(WantTimestamp, true)
		return
	}
	err := j.judgeToken()
	j.set(iTimestamp, outcomeOf(err), err)
}

func (j *judging) noTimestamp() error {
	e := &shuin.Error{
		Code: shuin.CodeUntrusted, Message: fmt.Sprintf("the signature has no timestamp, and trust policy statement %q verifies timestamps", j.Statement.Name),
		Hint: "sign with a timestamp, or set verifyTimestamp to afterCertExpiry",
	}
	if j.Now.After(j.Facts.chain.validity.to) {
		e.Code, e.Err = shuin.CodeExpired, j.outsideValidity(j.Now, j.Now, "now")
		e.Hint = "the certificates are no longer valid, and no timestamp says that the signature is older; have the artifact signed again"
	}
	return e
}

func (j *judging) judgeToken() error {
	t := j.Timestamp
	if t.Anchors.Err != nil {
		return t.Anchors.Err
	}
	if t.Err != nil {
		return tampered("check timestamp", t.Err)
	}
	if t.Token == nil {
		return tampered("check timestamp", errors.New("no token"))
	}
	chain := make([][]byte, len(t.Token.Chain))
	for i, c := range t.Token.Chain {
		chain[i] = c.Raw
	}
	if !rootTrusted(chain, t.Anchors.Stores) {
		return &shuin.Error{
			Code:    shuin.CodeUntrusted,
			Message: fmt.Sprintf("the timestamp is from %q, which no tsa trust store of statement %q anchors", t.Token.Chain[0].Subject, j.Statement.Name),
			Hint:    "if this timestamping authority is to be trusted, add its root certificate to a tsa trust store that the statement names",
		}
	}
	if !validityOf(t.Token.Chain).holds(t.Token.Time, t.Token.Time) {
		return &shuin.Error{Code: shuin.CodeExpired, Message: "the timestamping authority's certificates were not valid at " + stamp(t.Token.Time)}
	}
	from, to := t.Token.Time.Add(-t.Token.Accuracy), t.Token.Time.Add(t.Token.Accuracy)
	return j.outsideValidity(from, to, "the timestamp "+stamp(t.Token.Time))
}

// timestampRevocation is the last of the timestamp's checks. It is made
// whatever the policy says of revocation: it belongs to the timestamp. Only a
// timestamp that passed everything authenticates a time.
func (j *judging) timestampRevocation() {
	if j.checks[iTimestamp].Outcome != shuin.Passed {
		return
	}
	t := j.Timestamp
	if namesSource(t.Token.Chain) {
		if t.Revocation == nil {
			j.want(WantTimestampRevocation, true)
			return
		}
		outcome, until, err := judgeRevocation(t.Revocation, t.Token.Chain, j.Now, "timestamping certificate")
		j.set(iTimestamp, outcome, err)
		j.fresh(iTimestamp, until)
		if outcome != shuin.Passed {
			return
		}
	}
	j.out.TimeSource = shuin.TimeSourceTimestamp
	j.out.TimestampTime = t.Token.Time
	j.out.Time = t.Token.Time.Add(t.Token.Accuracy)
}
