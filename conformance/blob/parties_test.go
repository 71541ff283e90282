package blob

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	_ "github.com/notaryproject/notation-core-go/signature/cose"
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"github.com/notaryproject/tspclient-go"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/internal/timestamp"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// stores are trust stores in memory, for both.
type stores map[string][]*x509.Certificate

func (s stores) GetCertificates(_ context.Context, kind truststore.Type, name string) ([]*x509.Certificate, error) {
	certs, ok := s[string(kind)+":"+name]
	if !ok {
		return nil, fmt.Errorf("no store %s:%s", kind, name)
	}
	return certs, nil
}

func (s stores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	certs, ok := s[name.String()]
	if !ok {
		return nil, fmt.Errorf("no store %s", name)
	}
	return trust.NewStore(name, certs, nil)
}

// question is one verification, for both.
type question struct {
	stores    stores
	document  string // the blob trust policy
	policy    string // the statement's name; empty: the global one
	mediaType string
	metadata  map[string]string
	format    string // of the envelope, by the file's name
	envelope  []byte
	blob      []byte
}

// theirs is notation-go's answer: nil accepts. skipped: nothing was verified.
func (q *question) theirs(ctx context.Context) (skipped bool, err error) {
	var doc trustpolicy.BlobDocument
	if err := json.Unmarshal([]byte(q.document), &doc); err != nil {
		return false, err
	}
	v, err := verifier.NewVerifierWithOptions(q.stores, verifier.VerifierOptions{BlobTrustPolicy: &doc})
	if err != nil {
		return false, err
	}
	o := notation.BlobVerifierVerifyOptions{SignatureMediaType: q.format, UserMetadata: q.metadata, TrustPolicyName: q.policy}
	// notation.VerifyBlob crashes where nothing is to be verified: it reads the
	// payload of a signature that it did not look at.
	defer func() {
		if p := recover(); p != nil {
			skipped, err = true, nil
		}
	}()
	_, _, err = notation.VerifyBlob(ctx, v, bytes.NewReader(q.blob), q.envelope, notation.VerifyBlobOptions{BlobVerifierVerifyOptions: o, ContentMediaType: q.mediaType})
	return false, err
}

// ours is Shuin's report.
func (q *question) ours(ctx context.Context) *shuin.Report {
	doc, err := policy.ParseBlob([]byte(q.document))
	if err != nil {
		return &shuin.Report{Result: shuin.NotVerified, Err: err}
	}
	read := func(_ context.Context, a digest.Algorithm, most int64) (digest.Digest, int64, error) {
		d := a.Digester()
		n, err := io.Copy(d.Hash(), io.LimitReader(bytes.NewReader(q.blob), most+1))
		return d.Digest(), n, err
	}
	o := verify.BlobOptions{Policy: q.policy, MediaType: q.mediaType}
	o.Now, o.Metadata = time.Now(), q.metadata
	v := &verify.Verifier{Stores: q.stores}
	return v.VerifyBlob(ctx, shuin.Reference{File: "blob"}, read, shuin.Signature{EnvelopeMediaType: q.format, Envelope: q.envelope}, doc, o)
}

// order is what is to be signed, for both.
type order struct {
	chain     *shuintest.Chain
	format    string
	mediaType string
	metadata  map[string]string
	expiry    time.Duration
	tsaURL    string
	tsaRoot   *x509.Certificate
	blob      []byte
}

func (o *order) signedByThem(tb testing.TB) []byte {
	tb.Helper()
	s, err := signer.NewGenericSigner(o.chain.Key().(crypto.PrivateKey), o.chain.Certs)
	if err != nil {
		tb.Fatal(err)
	}
	opts := notation.SignBlobOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: o.format, ExpiryDuration: o.expiry},
		ContentMediaType:  o.mediaType, UserMetadata: o.metadata,
	}
	if o.tsaURL != "" {
		if opts.Timestamper, err = tspclient.NewHTTPTimestamper(nil, o.tsaURL); err != nil {
			tb.Fatal(err)
		}
		opts.TSARootCAs = x509.NewCertPool()
		opts.TSARootCAs.AddCert(o.tsaRoot)
	}
	envelope, _, err := notation.SignBlob(tb.Context(), s, bytes.NewReader(o.blob), opts)
	if err != nil {
		tb.Fatal(err)
	}
	return envelope
}

func (o *order) signedByUs(tb testing.TB) []byte {
	tb.Helper()
	s := &sign.Signer{Key: key{o.chain}, Agent: "shuin"}
	if o.tsaURL != "" {
		s.Timestamper = &timestamp.Client{URL: o.tsaURL, RootCerts: []*x509.Certificate{o.tsaRoot}}
	}
	signed, err := s.SignBlob(tb.Context(), func(a envelope.Algorithm) (shuin.Artifact, error) {
		return shuin.NewArtifact(shuin.Reference{File: "blob"},
			shuin.Descriptor{MediaType: o.mediaType, Digest: a.Digest().FromBytes(o.blob), Size: int64(len(o.blob))})
	}, sign.Options{MediaType: o.format, Time: time.Now(), Expiry: o.expiry, Metadata: o.metadata})
	if err != nil {
		tb.Fatal(err)
	}
	return signed.Envelope
}

// key is a chain's leaf as a sign.Key.
type key struct{ chain *shuintest.Chain }

func (k key) Algorithm(context.Context) (envelope.Algorithm, error) {
	return envelope.AlgorithmOf(k.chain.Leaf().PublicKey)
}

func (k key) Sign(ctx context.Context, signed []byte) ([]byte, [][]byte, error) {
	a, err := k.Algorithm(ctx)
	if err != nil {
		return nil, nil, err
	}
	sig, err := a.Sign(k.chain.Key(), signed)
	return sig, k.chain.DER, err
}
