package sign

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

// Signer makes one signature at a time. Exactly one of Key and Enveloper is
// set. A Signer is not changed by signing; it may be used concurrently when
// its parts may.
type Signer struct {
	// Key makes the primitive signature; the Signer builds the envelope.
	Key Key
	// Enveloper builds the whole envelope; the Signer checks it.
	Enveloper Enveloper
	// Timestamper, when set, countersigns; only with Key, since an Enveloper
	// adds a timestamp itself or not at all. Any failure of it fails the
	// signing (TSA-01).
	Timestamper Timestamper
	// TSARevocation, when set, is asked about the timestamp's chain (leaf
	// first, already anchored in Timestamper.Roots); an error fails the signing.
	TSARevocation func(ctx context.Context, chain []*x509.Certificate) error
	// Agent is the signing agent written into the envelope; it is never
	// verified (ATT-12).
	Agent string
}

// Options are what differs from one signature to the next.
type Options struct {
	// MediaType is shuin.MediaTypeJWS or shuin.MediaTypeCOSE.
	MediaType string
	// Time is the present, and with a Key the signing time, cut to whole
	// seconds. Required.
	Time time.Time
	// Expiry is how long the signature is good for, in whole seconds; 0: no
	// end of ours (an Enveloper may set one).
	Expiry time.Duration
	// Metadata becomes annotations of the signed descriptor. Keys starting
	// with shuin.ReservedAnnotationPrefix are refused (PAY-04), as are keys the
	// artifact's descriptor already has.
	Metadata map[string]string
	// PluginConfig is handed to the Enveloper.
	PluginConfig map[string]string
}

// Signed is a finished signature, ready to be stored beside its artifact.
type Signed struct {
	MediaType string
	Algorithm envelope.Algorithm
	Envelope  []byte
	Chain     [][]byte // DER, leaf first
	// Annotations belong on the signature manifest: the certificate
	// thumbprints (OCI-06), the creation time, and what an Enveloper added.
	Annotations map[string]string
}

// annotationCreated is the OCI image specification's key, RFC 3339.
const annotationCreated = "org.opencontainers.image.created"

// Sign signs a and checks what it made before it returns it: value verified,
// certificate rules checked, parsed again and compared field by field (WF-01).
// The error is a [*shuin.Error]; after an error there is nothing to store.
func (s *Signer) Sign(ctx context.Context, a shuin.Artifact, o Options) (*Signed, error) {
	if err := s.checkInput(o); err != nil {
		return nil, invalid("check signing options", err)
	}
	target, err := targetOf(a, o.Metadata)
	if err != nil {
		return nil, invalid("add user metadata", err)
	}
	payload, err := envelope.Payload{TargetArtifact: target}.Marshal()
	if err != nil {
		return nil, invalid("write payload", err)
	}
	if s.Enveloper != nil {
		return s.byEnveloper(ctx, target, payload, o)
	}
	return s.byKey(ctx, payload, o)
}

func (s *Signer) checkInput(o Options) error {
	switch {
	case (s.Key == nil) == (s.Enveloper == nil):
		return errors.New("a signer needs either a key or an enveloper")
	case s.Enveloper != nil && s.Timestamper != nil:
		return errors.New("this signer makes whole envelopes: a timestamp can only be added by it, not afterwards")
	case s.Timestamper != nil && len(s.Timestamper.Roots()) == 0:
		return errors.New("a timestamp needs root certificates to be checked against")
	case o.MediaType != shuin.MediaTypeJWS && o.MediaType != shuin.MediaTypeCOSE:
		return fmt.Errorf("signature media type %q is not supported", o.MediaType)
	case o.Expiry < 0:
		return errors.New("expiry duration cannot be a negative value")
	case o.Expiry%time.Second != 0:
		return errors.New("expiry duration supports minimum granularity of seconds")
	case o.Time.IsZero():
		return errors.New("no signing time")
	}
	return nil
}

// targetOf is the descriptor to sign: the artifact's, with the metadata as
// annotations (WF-01). Nothing already there is overwritten.
func targetOf(a shuin.Artifact, metadata map[string]string) (shuin.Descriptor, error) {
	d := a.Descriptor()
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil && len(metadata) > 0 {
		d.Annotations = make(map[string]string, len(metadata))
	}
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		if _, ok := d.Annotations[k]; ok {
			return d, fmt.Errorf("metadata key %s is already present in the target artifact", k)
		}
		if k == "" {
			return d, errors.New("metadata key is empty")
		}
		d.Annotations[k] = metadata[k]
	}
	// PAY-04, for the artifact's own annotations too.
	return d, reserved(d.Annotations, "metadata key")
}

func reserved(annotations map[string]string, what string) error {
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if strings.HasPrefix(k, shuin.ReservedAnnotationPrefix) {
			return fmt.Errorf("%s %s has reserved prefix %s", what, k, shuin.ReservedAnnotationPrefix)
		}
	}
	return nil
}

// byKey builds the envelope around a primitive signature, under notary.x509.
func (s *Signer) byKey(ctx context.Context, payload []byte, o Options) (*Signed, error) {
	alg, err := s.Key.Algorithm(ctx)
	if err != nil {
		return nil, failed("read signing key", shuin.CodeInvalidInput, err)
	}
	draft := envelope.Draft{
		MediaType: o.MediaType, Algorithm: alg, Payload: payload,
		Scheme: envelope.SchemeX509, SigningTime: o.Time.UTC().Truncate(time.Second), SigningAgent: s.Agent,
	}
	if o.Expiry > 0 {
		draft.Expiry = draft.SigningTime.Add(o.Expiry)
	}
	unsigned, err := draft.Prepare()
	if err != nil {
		return nil, invalid("prepare envelope", err)
	}
	signature, chain, err := s.Key.Sign(ctx, unsigned.SignedBytes())
	if err != nil {
		return nil, failed("sign", shuin.CodeInvalidInput, err)
	}
	// Before anybody outside is asked to countersign.
	certs, err := checkChain(chain, alg, draft.SigningTime)
	if err != nil {
		return nil, failed("check signing certificate", shuin.CodeInvalidInput, err)
	}
	if err := alg.VerifySignature(certs[0].PublicKey, unsigned.SignedBytes(), signature); err != nil {
		return nil, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "the signing key's signature is not one of the signing certificate", Err: err,
			Hint: "check that the certificate belongs to the key",
		}
	}
	token, err := s.timestamp(ctx, signature, alg, certs)
	if err != nil {
		return nil, failed("timestamp", shuin.CodeMalformed, err)
	}
	data, err := unsigned.Seal(signature, chain, token)
	if err != nil {
		return nil, failed("write envelope", shuin.CodeInternal, err)
	}
	want := &envelope.Envelope{
		MediaType: draft.MediaType, Algorithm: alg, ContentType: shuin.MediaTypePayload, Payload: payload,
		Scheme: draft.Scheme, SigningTime: draft.SigningTime, Expiry: draft.Expiry,
		Chain: chain, TimestampToken: token, SigningAgent: s.Agent, Signature: signature,
	}
	if err := checkOwn(data, want, unsigned.SignedBytes()); err != nil {
		return nil, failed("check the finished signature", shuin.CodeInternal, err)
	}
	return finish(data, want, nil)
}

// timestamp gets a countersignature and checks all of it (TSA-01, TSA-03).
func (s *Signer) timestamp(ctx context.Context, signature []byte, alg envelope.Algorithm, signer []*x509.Certificate) ([]byte, error) {
	if s.Timestamper == nil {
		return nil, nil
	}
	token, err := s.Timestamper.Timestamp(ctx, signature, alg)
	if err != nil {
		return nil, err
	}
	ts, err := envelope.ParseTimestamp(token, signature, s.Timestamper.Roots())
	if err != nil {
		return nil, err
	}
	for _, at := range []time.Time{ts.Time.Add(-ts.Accuracy), ts.Time.Add(ts.Accuracy)} {
		if err := CheckValid(signer, at); err != nil {
			return nil, fmt.Errorf("at the time of the timestamp: %w", err)
		}
	}
	if s.TSARevocation != nil {
		if err := s.TSARevocation(ctx, ts.Chain); err != nil {
			return nil, err
		}
	}
	return token, nil
}

// finish makes the annotations and the result.
func finish(data []byte, e *envelope.Envelope, extra map[string]string) (*Signed, error) {
	prints := make([]string, len(e.Chain))
	for i, der := range e.Chain {
		sum := sha256.Sum256(der)
		prints[i] = hex.EncodeToString(sum[:])
	}
	list, err := json.Marshal(prints)
	if err != nil {
		return nil, failed("write thumbprints", shuin.CodeInternal, err)
	}
	annotations := maps.Clone(extra)
	if annotations == nil {
		annotations = make(map[string]string, 2)
	}
	annotations[shuin.AnnotationThumbprints] = string(list)
	annotations[annotationCreated] = signingTime(e).UTC().Format(time.RFC3339)
	return &Signed{MediaType: e.MediaType, Algorithm: e.Algorithm, Envelope: data, Chain: e.Chain, Annotations: annotations}, nil
}

func invalid(doing string, err error) error { return failed(doing, shuin.CodeInvalidInput, err) }

// failed keeps the code and hint of err where it has them.
func failed(doing string, code shuin.Code, err error) error {
	var known *shuin.Error
	if errors.As(err, &known) && known.Code != "" && known.Code != shuin.CodeTampered {
		code = known.Code
	}
	return &shuin.Error{Code: code, Message: doing, Hint: shuin.HintOf(err), Err: err}
}
