package verify_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// blobScene is a blob, its signature and a policy: good as it comes.
type blobScene struct {
	*scene
	blob     []byte
	signed   []byte // what is signed; the blob where nil
	hash     digest.Algorithm
	metadata map[string]string
	options  verify.BlobOptions
	readErr  error

	reads int
	read  int64 // bytes
}

const blobType = "text/plain"

func newBlobScene(tb testing.TB) *blobScene {
	s := &blobScene{scene: newScene(tb), blob: []byte("hello, world\n"), hash: digest.SHA256}
	s.options.Now = now
	return s
}

func (s *blobScene) reader(ctx context.Context, a digest.Algorithm, most int64) (digest.Digest, int64, error) {
	s.reads++
	if s.readErr != nil {
		return "", 0, s.readErr
	}
	if ctx.Err() != nil {
		return "", 0, ctx.Err()
	}
	d := a.Digester()
	in := io.Reader(bytes.NewReader(s.blob))
	if most < math.MaxInt64 {
		in = io.LimitReader(in, most+1)
	}
	n, err := io.Copy(d.Hash(), in)
	s.read += n
	return d.Digest(), n, err
}

// statements of the policy: a global one as the scene says, a named one, one
// that skips and one that audits.
func (s *blobScene) blobDocument() *policy.Document {
	s.tb.Helper()
	statement := func(name, level string, stores, identities []string, global bool) map[string]any {
		m := map[string]any{"name": name, "signatureVerification": map[string]any{"level": level}, "globalPolicy": global}
		if level != "skip" {
			m["trustStores"], m["trustedIdentities"] = stores, identities
		}
		return m
	}
	data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{
		statement("global", s.level, s.trusts, s.identities, true),
		statement("named", "strict", []string{"ca:other"}, []string{anyone}, false),
		statement("skipped", "skip", nil, nil, false),
		statement("audited", "audit", []string{"ca:other"}, []string{anyone}, false),
	}})
	if err != nil {
		s.tb.Fatal(err)
	}
	doc, err := policy.ParseBlob(data)
	if err != nil {
		s.tb.Fatal(err)
	}
	return doc
}

func (s *blobScene) run(ctx context.Context) *shuin.Report {
	s.tb.Helper()
	signed := s.signed
	if signed == nil {
		signed = s.blob
	}
	if len(s.env.Payload) == 0 || !bytes.Contains(s.env.Payload, []byte(blobType)) {
		s.env.Payload = shuintest.Payload(blobType, s.hash.FromBytes(signed).String(), int64(len(signed)), s.metadata)
	}
	s.setUp()
	return s.verifier.VerifyBlob(ctx, shuin.Reference{File: "dir/f.txt"}, s.reader, s.list.found[0], s.blobDocument(), s.options)
}

func TestABlobIsVerifiedInTheHashOfTheSigningKey(t *testing.T) {
	for key, hash := range map[shuintest.KeyType]digest.Algorithm{
		shuintest.P256: digest.SHA256, shuintest.P384: digest.SHA384, shuintest.P521: digest.SHA512, shuintest.RSA3072: digest.SHA384,
	} {
		for _, mediaType := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
			s := newBlobScene(t)
			s.issue(func(o *shuintest.ChainOptions) { o.Key = key })
			s.hash, s.env.MediaType = hash, mediaType
			s.metadata = map[string]string{"k": "v"}
			s.options.Metadata = map[string]string{"k": "v"}
			s.options.MediaType = blobType
			r := s.run(t.Context())
			want(t, r, shuin.Verified, "", "")
			if d := r.Artifact.Descriptor(); d.Digest != hash.FromBytes(s.blob) || d.Size != 13 || d.MediaType != blobType {
				t.Errorf("%s: the artifact is %+v", key, d)
			}
			if got := r.Artifact.String(); !strings.HasPrefix(got, "dir/f.txt@"+hash.String()+":") {
				t.Errorf("the blob is called %s", got)
			}
			if r.Policy.Statement != "global" || s.reads != 1 {
				t.Errorf("statement %s, read %d times", r.Policy.Statement, s.reads)
			}

			other := newBlobScene(t) // PAY-03: another hash than the key's is no digest of the blob
			other.issue(func(o *shuintest.ChainOptions) { o.Key = key })
			other.env.MediaType = mediaType
			if other.hash = digest.SHA256; hash == digest.SHA256 {
				other.hash = digest.SHA512
			}
			want(t, other.run(t.Context()), shuin.NotVerified, shuin.CodeTampered, shuin.CheckArtifact)
		}
	}
}

func TestAnySpoiltBlobSignatureFailsForItsOwnReason(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil  func(s *blobScene)
		code   shuin.Code
		failed shuin.CheckName
		reads  int
		known  bool // the blob's artifact
	}{
		"VER-02 another blob of the same size": {func(s *blobScene) { s.signed = []byte("hello, WORLD\n") }, shuin.CodeTampered, shuin.CheckArtifact, 1, true},
		"VER-02 a byte less":                   {func(s *blobScene) { s.signed = append([]byte("hello, world\n"), '!') }, shuin.CodeTampered, shuin.CheckArtifact, 1, true},
		"VER-02 a byte more":                   {func(s *blobScene) { s.signed = []byte("hello, world") }, shuin.CodeTampered, shuin.CheckArtifact, 1, false},
		"VER-02 another media type":            {func(s *blobScene) { s.options.MediaType = "image/png" }, shuin.CodeTampered, shuin.CheckArtifact, 1, true},
		"VER-06 metadata that is not signed":   {func(s *blobScene) { s.options.Metadata = map[string]string{"k": "v"} }, shuin.CodeMetadataMismatch, shuin.CheckUserMetadata, 1, true},
		"VER-01 a changed signature":           {func(s *blobScene) { s.env.Key = otherChain.Key() }, shuin.CodeTampered, shuin.CheckIntegrity, 0, false},
		"VER-01 no envelope at all":            {func(s *blobScene) { s.spoil = func([]byte) []byte { return []byte("{}") } }, shuin.CodeTampered, shuin.CheckIntegrity, 0, false},
		"VER-03 a stranger's": {func(s *blobScene) { s.stores.certs["ca:acme"] = []*x509.Certificate{otherChain.Root()} },
			shuin.CodeUntrusted, shuin.CheckAuthenticity, 0, false},
		"VER-03 another identity":              {func(s *blobScene) { s.identities = []string{"x509.subject: C=JP, ST=Tokyo, O=Example, CN=another"} }, shuin.CodeUntrusted, shuin.CheckAuthenticity, 1, true},
		"VER-04 expired":                       {func(s *blobScene) { s.env.Expiry = now }, shuin.CodeExpired, shuin.CheckExpiry, 1, true},
		"REV-01 revoked":                       {func(s *blobScene) { s.withSources(all(revoked)) }, shuin.CodeRevoked, shuin.CheckRevocation, 1, true},
		"TP-12 a statement nobody wrote":       {func(s *blobScene) { s.options.Policy = "another" }, shuin.CodeNoPolicy, "", 0, false},
		"TP-12 a named statement of others":    {func(s *blobScene) { s.options.Policy = "named" }, shuin.CodeUntrusted, shuin.CheckAuthenticity, 0, false},
		"a blob that cannot be read":           {func(s *blobScene) { s.readErr = errors.New("it is a directory") }, shuin.CodeInvalidInput, shuin.CheckArtifact, 1, false},
		"PAY-01 a payload that names no blob":  {func(s *blobScene) { s.env.Payload = []byte(`{"targetArtifact":"text/plain"}`) }, shuin.CodeTampered, shuin.CheckArtifact, 0, false},
		"ATT-08 a critical attribute":          {func(s *blobScene) { s.env.Critical = map[string]any{"com.example.must": "know"} }, shuin.CodeTooOld, shuin.CheckPlugin, 1, true},
		"audit logs no change of the blob":     {func(s *blobScene) { s.options.Policy, s.signed = "audited", []byte("other") }, shuin.CodeTampered, shuin.CheckArtifact, 1, false},
		"audit asks for the metadata all same": {func(s *blobScene) { s.options.Policy, s.options.Metadata = "audited", map[string]string{"k": "v"} }, shuin.CodeMetadataMismatch, shuin.CheckUserMetadata, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBlobScene(t)
			tt.spoil(s)
			r := s.run(t.Context())
			want(t, r, shuin.NotVerified, tt.code, tt.failed)
			if s.reads != tt.reads {
				t.Errorf("the blob was read %d times, want %d", s.reads, tt.reads)
			}
			if known := r.Artifact.Digest() != ""; known != tt.known {
				t.Errorf("the report knows the blob: %t, want %t", known, tt.known)
			}
			if r.VerifiedBy != -1 {
				t.Errorf("verified by %d", r.VerifiedBy)
			}
		})
	}
}

func TestABlobUnderAuditOrSkip(t *testing.T) {
	s := newBlobScene(t)
	s.options.Policy = "audited"
	r := s.run(t.Context())
	want(t, r, shuin.Verified, "", "")
	if w := r.Accepted().Warnings(); len(w) != 1 || w[0].Name != shuin.CheckAuthenticity {
		t.Errorf("warnings %v", w)
	}

	s = newBlobScene(t)
	s.options.Policy = "skipped"
	s.spoil = func([]byte) []byte { return []byte("nothing") }
	if r = s.run(t.Context()); r.Result != shuin.PolicySkip || s.reads != 0 || r.Policy.Level != policy.LevelSkip {
		t.Errorf("result %s, read %d times", r.Result, s.reads)
	}

	s = newBlobScene(t)
	s.setUp()
	r = s.verifier.VerifyBlob(t.Context(), shuin.Reference{File: "f"}, s.reader, s.list.found[0], nil, s.options)
	want(t, r, shuin.NotVerified, shuin.CodeNoPolicy, "")
}

// TestABlobIsReadNoFurtherThanItsSignedSize: a blob may never end.
func TestABlobIsReadNoFurtherThanItsSignedSize(t *testing.T) {
	s := newBlobScene(t)
	s.signed = []byte("hello")
	s.blob = make([]byte, 1<<20)
	want(t, s.run(t.Context()), shuin.NotVerified, shuin.CodeTampered, shuin.CheckArtifact)
	if s.read != 6 {
		t.Errorf("read %d bytes, want one more than the 5 that are signed", s.read)
	}
}

func TestAnInterruptedReadOfABlobIsUndecided(t *testing.T) {
	s := newBlobScene(t)
	ctx, stop := context.WithCancel(t.Context())
	s.stores.loading = stop // before the blob is read
	want(t, s.run(ctx), shuin.Undecided, shuin.CodeDeadline, "")
	if s.reads != 1 {
		t.Errorf("read %d times", s.reads)
	}
}

func TestRevocationOfABlobSignatureThatCannotBeAskedIsUndecided(t *testing.T) {
	s := newBlobScene(t)
	s.withSources(all(unavailable))
	want(t, s.run(t.Context()), shuin.Undecided, shuin.CodeRevocationUnavailable, shuin.CheckRevocation)
}

var _ verify.BlobReader = (&blobScene{}).reader

// FuzzVerifyBlob: whatever a signature file holds, nothing panics, nothing
// verifies but what holds together, and the blob is read once at most.
func FuzzVerifyBlob(f *testing.F) {
	base := newBlobScene(f)
	base.run(context.Background())
	f.Add(base.list.found[0].Envelope, false)
	cose := newBlobScene(f)
	cose.env.MediaType = shuin.MediaTypeCOSE
	cose.run(context.Background())
	f.Add(cose.list.found[0].Envelope, true)
	f.Add([]byte("{}"), false)
	doc := base.blobDocument()
	f.Fuzz(func(t *testing.T, data []byte, isCOSE bool) {
		s := newBlobScene(t)
		s.setUp()
		mediaType := shuin.MediaTypeJWS
		if isCOSE {
			mediaType = shuin.MediaTypeCOSE
		}
		r := s.verifier.VerifyBlob(t.Context(), shuin.Reference{File: "f"}, s.reader,
			shuin.Signature{EnvelopeMediaType: mediaType, Envelope: data}, doc, s.options)
		if s.reads > 1 {
			t.Fatalf("read %d times", s.reads)
		}
		if r.Result != shuin.Verified {
			return
		}
		e, err := envelope.Parse(mediaType, data)
		if err != nil {
			t.Fatal(err)
		}
		p, err := envelope.ParsePayload(e.Payload)
		if err != nil || p.TargetArtifact.Digest != digest.SHA256.FromBytes(s.blob) {
			t.Fatalf("verified another blob: %+v, %v", p, err)
		}
	})
}
