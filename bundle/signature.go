package bundle

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// Ends of the names of signatures beside their blob, as notation writes them.
const (
	JWSSuffix  = ".jws.sig"
	COSESuffix = ".cose.sig"
)

// SignatureName is what a signature is named beside a bundle's file or object:
// by the bundle's digest, so that a signature that comes takes the place of no
// other bundle's, as policy.json.sha256-HEX.jws.sig.
func SignatureName(name string, data []byte, suffix string) string {
	d := digest.FromBytes(data)
	return name + "." + d.Algorithm().String() + "-" + d.Encoded() + suffix
}

// SignatureType is the media type of a signature by its file's name; empty: the
// name says neither.
func SignatureType(name string) string {
	switch {
	case strings.HasSuffix(name, JWSSuffix):
		return shuin.MediaTypeJWS
	case strings.HasSuffix(name, COSESuffix):
		return shuin.MediaTypeCOSE
	}
	return ""
}

// Artifact is what a signature over a bundle names: media type, size, and the
// digest in the hash of the algorithm that signs, as for every blob of the
// Notary Project (signing-and-verification-workflow.md, "Signing Blobs";
// "notation blob sign" does the same).
func Artifact(data []byte, hash crypto.Hash) (shuin.Artifact, error) {
	algorithm, ok := map[crypto.Hash]digest.Algorithm{crypto.SHA256: digest.SHA256, crypto.SHA384: digest.SHA384, crypto.SHA512: digest.SHA512}[hash]
	if !ok {
		return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeInternal, Message: fmt.Sprintf("no digest goes with %s", hash)}
	}
	return shuin.NewArtifact(shuin.Reference{}, shuin.Descriptor{MediaType: MediaType, Digest: algorithm.FromBytes(data), Size: int64(len(data))})
}

// Signature is a signature beside a bundle: an envelope, JWS or COSE.
type Signature struct {
	MediaType string
	Envelope  []byte
}

// Signed says by whom a bundle is signed.
type Signed struct {
	Identity   string // the trusted identity that matched, or the signing profile
	TrustStore string // "type:name" of the store that anchors the signer
	// Time is the authenticated time of the signature; zero: there is none. The
	// time that a signer says of itself is none.
	Time time.Time
	// StaleUntil is when the answer may turn out otherwise; zero: never. Ends
	// is when it does, without anybody being asked; zero: never.
	StaleUntil, Ends time.Time
}

// Verify says whether a signature over a bundle's bytes is good by a statement
// (see [Signer]), at now. It asks the world what v can ask. Nothing in the
// signature but what is verified decides: no time that the signer says of
// itself either. The error is a [*shuin.Error]; its code is Undecided where it
// could not be checked.
func Verify(ctx context.Context, v verify.Verifier, s *policy.Statement, data []byte, sig Signature, now time.Time) (*Signed, error) {
	if len(sig.Envelope) > limits.BundleSignatureBytes {
		return nil, tooLarge()
	}
	if s == nil || s.Level.Name != policy.LevelStrict {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "a bundle's signature is verified strictly, or not at all"}
	}
	artifact, err := sig.artifact(data)
	if err != nil {
		return nil, err
	}
	survey := v.Survey(ctx, artifact, &one{sig}, []*policy.Statement{s}, verify.Options{Now: now})
	if survey.Err != nil {
		return nil, refused(survey.Err)
	}
	if len(survey.Signatures) != 1 || len(survey.Signatures[0].Answers) != 1 {
		return nil, refused(errors.New("it was not judged"))
	}
	j := survey.Signatures[0].Answers[0]
	if j.Result != shuin.Verified {
		return nil, refused(j.Err)
	}
	return &Signed{Identity: j.Identity, TrustStore: j.TrustStore, Time: j.Time, StaleUntil: j.StaleUntil, Ends: j.Ends}, nil
}

// artifact is what the signature would name if it were over data. The algorithm
// is a claim here: who verifies holds it against the key, and a digest in
// another hash matches nothing.
func (s *Signature) artifact(data []byte) (shuin.Artifact, error) {
	hash := crypto.SHA256
	if e, err := envelope.Parse(s.MediaType, s.Envelope); err == nil && e.Algorithm.Hash() != 0 {
		hash = e.Algorithm.Hash()
	}
	return Artifact(data, hash)
}

// Fits says whether a signature is whole and over a bundle's bytes, for those
// who know none of the signer's trust stores. Anybody could have made it: only
// [Verify] says whether it is good. The error is a [*shuin.Error].
func (s *Signature) Fits(data []byte) error {
	if len(s.Envelope) > limits.BundleSignatureBytes {
		return tooLarge()
	}
	artifact, err := s.artifact(data)
	if err != nil {
		return err
	}
	var x verify.Examiner
	facts := x.Examine(s.MediaType, s.Envelope, artifact)
	if err := cmp.Or(facts.Integrity, facts.Artifact); err != nil {
		return refused(err)
	}
	return nil
}

func tooLarge() error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the bundle's signature has more than %d bytes (limit BundleSignatureBytes)", limits.BundleSignatureBytes)}
}

// refused is why a signature is not good, or could not be checked.
func refused(err error) error {
	message := "the bundle's signature is not good"
	if shuin.CodeOf(err).Undecided() {
		message = "the bundle's signature could not be checked"
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Message: message, Err: err, Hint: shuin.HintOf(err)}
}

// one is a bundle's only signature.
type one struct{ Signature }

func (o *one) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return []shuin.Signature{{
		Manifest:          shuin.Descriptor{MediaType: o.MediaType, Digest: digest.FromBytes(o.Envelope), Size: int64(len(o.Envelope))},
		EnvelopeMediaType: o.MediaType, Envelope: o.Envelope,
	}}, false, nil
}

// Signer is who may sign bundles, as a stage of a pipeline policy names a
// signer.
type Signer struct {
	// SigningProfile is the ARN of a signing profile, Identities are trusted
	// identities: one of the two. "*" is refused: everybody with a certificate
	// of the store could change the policy.
	SigningProfile string   `json:"signingProfile,omitempty"`
	Identities     []string `json:"identities,omitempty"`
	// TrustStores are "type:name" each.
	TrustStores []string `json:"trustStores,omitempty"`
}

// Statement is the trust policy statement, level strict, that a signature by
// the signer satisfies. What a signer may be, package pipeline says: the
// statement is that of a policy with this signer alone.
func (s Signer) Statement() (*policy.Statement, error) {
	for _, id := range s.Identities {
		if id == "*" {
			return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: `who signs policies may not be "*"`,
				Hint: "name the signer's subject: everybody who has a certificate of the trust store could change the policy"}
		}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": pipeline.APIVersion, "kind": pipeline.Kind,
		"stages": map[string]any{"policy": map[string]any{"signers": []Signer{s}}},
		"rules": []any{map[string]any{"name": "policy", "match": map[string]any{"images": []string{"policy.invalid/bundle"}},
			"require": map[string]any{"all": []string{"policy"}}}},
		"default": "deny",
	})
	if err != nil {
		return nil, invalid("who signs policies cannot be used", err)
	}
	p, err := pipeline.Parse(text)
	if faults, ok := errors.AsType[document.Faults](err); ok {
		for i := range faults {
			faults[i].Line = 0
			faults[i].Path = strings.TrimPrefix(strings.TrimPrefix(faults[i].Path, "stages.policy.signers[0]"), ".")
		}
		err = faults
	}
	if err != nil {
		return nil, invalid("who signs policies cannot be used", err)
	}
	return p.Signers()[0].Statement, nil
}
