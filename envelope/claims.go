package envelope

import (
	"time"

	"github.com/shuin/shuin/internal/limits"
)

// Names of the attributes, the same in JWS and COSE
// (signature-envelope-jws.md, signature-envelope-cose.md).
const (
	keyScheme               = "io.cncf.notary.signingScheme"
	keySigningTime          = "io.cncf.notary.signingTime"
	keyAuthenticSigningTime = "io.cncf.notary.authenticSigningTime"
	keyExpiry               = "io.cncf.notary.expiry"

	keyTimestamp    = "io.cncf.notary.timestampSignature"
	keySigningAgent = "io.cncf.notary.signingAgent"
)

// claims are the signed attributes while they are read; check holds the rules
// that JWS and COSE share.
type claims struct {
	rows *rows
	env  *Envelope

	scheme                        string
	hasScheme                     bool
	signing, authentic            time.Time
	hasSigning, hasAuth, hasExp   bool
	hasAlg, hasType, hasCrit      bool
	critScheme, critAuth, critExp bool
}

// check says whether the standard attributes fit together (ATT-03 to ATT-07,
// SCH-01 to SCH-03) and stores them in the Envelope. It runs after crit was read.
func (c *claims) check() error {
	switch {
	case !c.hasAlg:
		return bad(c.rows.alg, "protected header has no alg")
	case !c.hasType:
		return bad(c.rows.contentType, "protected header has no content type")
	case !c.hasCrit:
		return bad(c.rows.crit, "protected header has no crit")
	case !c.hasScheme:
		return bad("ATT-03", "protected header has no %s", keyScheme)
	case !c.critScheme:
		return bad(c.rows.crit, "%s is not marked critical", keyScheme)
	case c.hasExp && !c.critExp:
		return bad(c.rows.crit, "%s is not marked critical", keyExpiry)
	}
	at, err := c.signingTime()
	if err != nil {
		return err
	}
	if e := c.env.Expiry; c.hasExp && !e.After(at) {
		return bad("ATT-06", "expiry %s is not after the signing time %s", e.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	return nil
}

// signingTime holds each scheme to its own time.
// Differs from upstream: in COSE it ignores the other scheme's time.
func (c *claims) signingTime() (time.Time, error) {
	switch Scheme(c.scheme) {
	case SchemeX509:
		if c.hasAuth {
			return time.Time{}, bad("ATT-05", "%s is not allowed under %s", keyAuthenticSigningTime, SchemeX509)
		}
		if c.signing.IsZero() {
			return time.Time{}, bad("ATT-04", "protected header has no %s", keySigningTime)
		}
		c.env.Scheme, c.env.SigningTime = SchemeX509, c.signing
		return c.signing, nil
	case SchemeSigningAuthority:
		if c.hasSigning {
			return time.Time{}, bad("ATT-04", "%s is not allowed under %s", keySigningTime, SchemeSigningAuthority)
		}
		if c.authentic.IsZero() {
			return time.Time{}, bad("ATT-05", "protected header has no %s", keyAuthenticSigningTime)
		}
		if !c.critAuth {
			return time.Time{}, bad(c.rows.crit, "%s is not marked critical", keyAuthenticSigningTime)
		}
		c.env.Scheme, c.env.AuthenticSigningTime = SchemeSigningAuthority, c.authentic
		return c.authentic, nil
	}
	return time.Time{}, bad("SCH-02", "signing scheme %.64q is not supported", c.scheme)
}

// checkTime refuses times that RFC 3339 cannot write.
// Differs from upstream: COSE takes any number there.
func checkTime(row, name string, t time.Time) error {
	if y := t.UTC().Year(); y < 1 || y > 9999 {
		return bad(row, "%s is outside the years 1 to 9999", name)
	}
	return nil
}

// addExtended appends an attribute beyond the standard ones.
func (c *claims) addExtended(key, value any) error {
	if len(c.env.Extended) >= limits.ExtendedAttributes {
		return tooMuch(c.rows.form, "protected header has more than %d extended attributes", limits.ExtendedAttributes)
	}
	c.env.Extended = append(c.env.Extended, Attribute{Key: key, Value: value})
	return nil
}

// markExtended marks the extended attribute with that key critical.
func (c *claims) markExtended(key any) bool {
	for i := range c.env.Extended {
		if c.env.Extended[i].Key == key {
			c.env.Extended[i].Critical = true
			return true
		}
	}
	return false
}

// checkUnprotected bounds what no signature covers, and asks for what must be there.
func (c *claims) checkUnprotected() error {
	e := c.env
	if len(e.Payload) == 0 {
		return bad("PAY-01", "payload is missing or empty")
	}
	if len(e.Payload) > limits.PayloadBytes {
		return tooMuch("PAY-01", "payload is %d bytes, limit %d", len(e.Payload), limits.PayloadBytes)
	}
	if len(e.Signature) == 0 {
		return bad(c.rows.signature, "signature is missing or empty")
	}
	if len(e.TimestampToken) > limits.TimestampBytes {
		return tooMuch(c.rows.timestamp, "timestamp token is %d bytes, limit %d", len(e.TimestampToken), limits.TimestampBytes)
	}
	return checkChainBytes(c.rows.chain, e.Chain)
}

func checkChainBytes(row string, chain [][]byte) error {
	if len(chain) == 0 {
		return bad(row, "certificate chain is missing or empty")
	}
	if len(chain) > limits.ChainLength {
		return tooMuch(row, "certificate chain has more than %d certificates", limits.ChainLength)
	}
	for i, c := range chain {
		if len(c) == 0 {
			return bad(row, "certificate %d of the chain is empty", i)
		}
		if len(c) > limits.CertificateBytes {
			return tooMuch(row, "certificate %d of the chain is %d bytes, limit %d", i, len(c), limits.CertificateBytes)
		}
	}
	return nil
}
