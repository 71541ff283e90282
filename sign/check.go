package sign

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

// checkChain is CheckChain and CheckValid.
func checkChain(der [][]byte, alg envelope.Algorithm, at time.Time) ([]*x509.Certificate, error) {
	certs, err := CheckChain(der, alg)
	if err != nil {
		return nil, err
	}
	return certs, CheckValid(certs, at)
}

// CheckChain holds a chain that is to sign, DER, leaf first, self-signed root
// last, against the certificate and algorithm rules (WF-01, CERT-01 to CERT-13,
// ALG-02), and verifies its links. It looks at no clock. The error is one of
// package envelope's, or says that the leaf's key does not sign with alg.
func CheckChain(der [][]byte, alg envelope.Algorithm) ([]*x509.Certificate, error) {
	certs, err := envelope.ParseChain(der)
	if err != nil {
		return nil, err
	}
	if err := envelope.CheckChain(certs, envelope.CodeSigning); err != nil {
		return nil, err
	}
	if err := envelope.CheckLinks(certs, nil); err != nil {
		return nil, err
	}
	if len(certs) > 1 {
		if err := envelope.CheckRoot(certs); err != nil {
			return nil, err
		}
	}
	want, err := envelope.AlgorithmOf(certs[0].PublicKey)
	if err != nil {
		return nil, err
	}
	if want != alg {
		return nil, fmt.Errorf("the signing certificate's key makes %s, the signature is %s", want, alg)
	}
	return certs, nil
}

// CheckValid: every certificate of a chain is valid at a signing time
// (CERT-14). The error is a *shuin.Error with code shuin.CodeExpired.
func CheckValid(certs []*x509.Certificate, at time.Time) error {
	for _, c := range certs {
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return &shuin.Error{
				Code: shuin.CodeExpired,
				Message: fmt.Sprintf("certificate %q is valid from %s to %s, not at %s", c.Subject,
					c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339)),
				Hint: "sign with a certificate that is valid now",
			}
		}
	}
	return nil
}

// checkOwn reads the finished envelope as a stranger would and compares it
// field by field with what was meant. The signature's value was verified
// before: the envelope is good if it carries that value over the same bytes.
func checkOwn(data []byte, want *envelope.Envelope, signed []byte) error {
	got, err := envelope.Parse(want.MediaType, data)
	if err != nil {
		return err
	}
	if field := firstDifference(got, want); field != "" {
		return fmt.Errorf("the envelope came out with another %s than was signed", field)
	}
	if !bytes.Equal(got.SignedBytes(), signed) {
		return errors.New("the envelope came out with other signed bytes than were signed")
	}
	return nil
}

func firstDifference(got, want *envelope.Envelope) string {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"media type", got.MediaType == want.MediaType},
		{"algorithm", got.Algorithm == want.Algorithm},
		{"content type", got.ContentType == want.ContentType},
		{"payload", bytes.Equal(got.Payload, want.Payload)},
		{"signing scheme", got.Scheme == want.Scheme},
		{"signing time", got.SigningTime.Equal(want.SigningTime)},
		{"authentic signing time", got.AuthenticSigningTime.Equal(want.AuthenticSigningTime)},
		{"expiry", got.Expiry.Equal(want.Expiry)},
		{"set of attributes", len(got.Extended) == len(want.Extended)},
		{"certificate chain", sameChain(got.Chain, want.Chain)},
		{"timestamp", bytes.Equal(got.TimestampToken, want.TimestampToken)},
		{"signing agent", got.SigningAgent == want.SigningAgent},
		{"signature", bytes.Equal(got.Signature, want.Signature)},
	} {
		if !f.same {
			return f.name
		}
	}
	return ""
}

func sameChain(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// byEnveloper has the whole envelope made elsewhere and believes nothing of it
// (PLG-07): it has to be over what was asked for, hold together, and be one
// that our own verification would take now. Whether anybody trusts its signer,
// and what a verification plugin would say, is not known here.
func (s *Signer) byEnveloper(ctx context.Context, target shuin.Descriptor, payload []byte, o Options) (*Signed, error) {
	resp, err := s.Enveloper.Envelope(ctx, EnvelopeRequest{
		MediaType: o.MediaType, Payload: payload, PayloadType: shuin.MediaTypePayload,
		ExpirySeconds: int64(o.Expiry / time.Second), SigningAgent: s.Agent, PluginConfig: o.PluginConfig,
	})
	if err != nil {
		return nil, failed("sign", shuin.CodePluginFailed, err)
	}
	if resp.MediaType != o.MediaType {
		return nil, refused(fmt.Errorf("it has media type %q, %q was asked for", resp.MediaType, o.MediaType))
	}
	e, err := envelope.Parse(resp.MediaType, resp.Envelope)
	if err != nil {
		return nil, refused(err)
	}
	if err := checkForeign(e, target, o); err != nil {
		return nil, refused(err)
	}
	if err := reserved(resp.Annotations, "annotation"); err != nil {
		return nil, refused(err)
	}
	return finish(resp.Envelope, e, resp.Annotations)
}

func checkForeign(e *envelope.Envelope, target shuin.Descriptor, o Options) error {
	p, err := envelope.ParsePayload(e.Payload)
	if err != nil {
		return err
	}
	if err := checkTarget(p.TargetArtifact, target); err != nil {
		return err
	}
	if err := checkForeignTimes(e, o); err != nil {
		return err
	}
	if err := checkForeignAttributes(e); err != nil {
		return err
	}
	certs, err := checkChain(e.Chain, e.Algorithm, signingTime(e))
	if err != nil {
		return err
	}
	for _, c := range certs {
		if o.Time.After(c.NotAfter) {
			return fmt.Errorf("certificate %q expired at %s", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
		}
		// A service may issue a certificate for each signature, by its own clock.
		if c.NotBefore.After(o.Time.Add(limits.ClockSkew)) {
			return fmt.Errorf("certificate %q is valid from %s, which is to come", c.Subject, c.NotBefore.UTC().Format(time.RFC3339))
		}
	}
	if err := e.VerifySignature(certs[0].PublicKey); err != nil {
		return err
	}
	if len(e.TimestampToken) > 0 {
		// Whose it is, is for the verifier's trust policy to say.
		_, err = envelope.ParseTimestamp(e.TimestampToken, e.Signature, nil)
	}
	return err
}

// signingTime is the time the envelope says it was signed at.
func signingTime(e *envelope.Envelope) time.Time {
	if e.Scheme == envelope.SchemeSigningAuthority {
		return e.AuthenticSigningTime
	}
	return e.SigningTime
}

// checkForeignTimes: signed by now, not expired yet, and for no longer than
// was asked. An Enveloper may take its time, and its clock differ.
func checkForeignTimes(e *envelope.Envelope, o Options) error {
	at := signingTime(e)
	switch {
	case at.After(o.Time.Add(limits.PluginCommandTime + limits.ClockSkew)):
		return fmt.Errorf("its signing time %s is to come", at.UTC().Format(time.RFC3339))
	case o.Expiry > 0 && e.Expiry.IsZero():
		return errors.New("it has no expiry, and one was asked for")
	case o.Expiry > 0 && e.Expiry.After(at.Add(o.Expiry+limits.ClockSkew)):
		return fmt.Errorf("it expires at %s, %s after it was signed; %s was asked for", e.Expiry.UTC().Format(time.RFC3339), e.Expiry.Sub(at), o.Expiry)
	case !e.Expiry.IsZero() && !o.Time.Before(e.Expiry):
		return fmt.Errorf("it expired at %s", e.Expiry.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkForeignAttributes: critical attributes that nobody knows are for the
// verification plugin that the envelope names; without one they make every
// verification fail (ATT-08, ATT-09).
func checkForeignAttributes(e *envelope.Envelope) error {
	p, err := e.PluginAttributes()
	if err != nil {
		return err
	}
	if p.Name == "" && len(p.Unknown) > 0 {
		return fmt.Errorf("it has the critical attribute %v and names no verification plugin that would know it", p.Unknown[0].Key)
	}
	return nil
}

// checkTarget: the descriptor is the one asked for; annotations may be added,
// not changed, and not under the reserved prefix (PLG-07, PAY-04).
func checkTarget(got, want shuin.Descriptor) error {
	if !got.SameContent(want) {
		return fmt.Errorf("it signs %s (%s, %d bytes), not what was asked for", got.Digest, got.MediaType, got.Size)
	}
	for k, v := range want.Annotations {
		if g, ok := got.Annotations[k]; !ok || g != v {
			return fmt.Errorf("it leaves out or changes the metadata %s", k)
		}
	}
	return reserved(got.Annotations, "signed annotation")
}

// refused says that what an Enveloper made cannot be used. Whatever is wrong
// with it, it is the plugin's fault.
func refused(err error) error {
	return &shuin.Error{
		Code: shuin.CodePluginFailed, Message: "the envelope made by the signing plugin cannot be used", Err: err,
		Hint: "report it to the maker of the plugin or signing service",
	}
}
