package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/notaryproject/notation-go"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

var (
	seed      = flag.Uint64("seed", 20251122, "of the mutations")
	mutations = flag.Int("mutations", 5000, "how many to make")
)

// bases are the valid vectors that mutations start from, all signed with one
// P-256 key.
var bases = []string{"ALG-01/p256-jws", "ALG-01/p256-cose", "ATT-03/signing-authority-jws", "ATT-03/signing-authority-cose",
	"ATT-06/expiry-jws", "ATT-06/expiry-cose", "ATT-11/timestamp-jws", "ATT-11/timestamp-cose", "VER-06/metadata-jws", "VER-06/metadata-cose",
	"ATT-08/unknown-attribute-jws", "ATT-08/unknown-attribute-cose"}

// arena holds both verifiers, made once, and what mutations need.
type arena struct {
	key     signerKey
	certs64 []string
	certs   [][]byte
	classes []differenceClass
	rules   []*regexp.Regexp
	stages  []*stage
}

type stage struct {
	in       envelopeCase
	media    string
	envelope []byte
	now      time.Time
	theirs   notation.Verifier
	ours     *verify.Verifier
	doc      *policy.Document
	artifact shuin.Artifact
	desc     ocispec.Descriptor
}

func newArena(tb testing.TB) *arena {
	tb.Helper()
	a := &arena{}
	private, err := x509.ParsePKCS8PrivateKey(input[signCase](tb, loadVector(tb, "WF-01/good-chain")).Key)
	if err != nil {
		tb.Fatal(err)
	}
	a.key = signerKey{private.(*ecdsa.PrivateKey)}
	a.certs64, a.certs = []string{"", "AAAA"}, [][]byte{cborOf([]byte{}), cborOf("text"), cborOf([]byte{1})}
	for _, id := range []string{"CERT-01/codeSigning", "CERT-01/timestamping", "CERT-11/unrelated-certificate-codeSigning", "CERT-09/rsa2048", "CERT-10/single-self-signed-codeSigning"} {
		for _, der := range input[chainCase](tb, loadVector(tb, id)).Chain {
			a.certs64 = append(a.certs64, base64.StdEncoding.EncodeToString(der))
			a.certs = append(a.certs, cborOf(der))
		}
	}
	var list differences
	loadJSON(tb, differencesFile, &list)
	a.setClasses(tb, list.Classes)
	for _, id := range bases {
		a.stages = append(a.stages, newStage(tb, loadVector(tb, id)))
	}
	return a
}

func (a *arena) setClasses(tb testing.TB, classes []differenceClass) {
	a.classes, a.rules = classes, nil
	for _, c := range classes {
		r, err := regexp.Compile(c.Message)
		if err != nil {
			tb.Fatal(err)
		}
		a.rules = append(a.rules, r)
	}
}

func newStage(tb testing.TB, v *vector) *stage {
	tb.Helper()
	s := &stage{in: input[envelopeCase](tb, v), now: v.Now}
	s.media, s.envelope = s.in.Signatures[0].MediaType, s.in.Signatures[0].content()
	var err error
	if s.theirs, err = newUpstream(s.in); err != nil {
		tb.Fatal(err)
	}
	if s.doc, err = policy.ParseOCI(s.in.TrustPolicy); err != nil {
		tb.Fatal(err)
	}
	stores, err := newStores(s.in.TrustStores)
	if err != nil {
		tb.Fatal(err)
	}
	s.ours = &verify.Verifier{Stores: stores, Revocation: &revocation.Checker{}, Plugins: memoryPlugins{}, Chains: verify.NewChainCache(64)}
	if s.artifact, err = artifactOf(s.in.Reference, s.in.Artifact); err != nil {
		tb.Fatal(err)
	}
	s.desc = ocispec.Descriptor{MediaType: s.in.Artifact.MediaType, Digest: digest.Digest(s.in.Artifact.Digest), Size: s.in.Artifact.Size}
	return s
}

func (s *stage) askOurs(ctx context.Context, envelope []byte) *shuin.Report {
	sigs := memorySignatures{{EnvelopeMediaType: s.media, Envelope: envelope, Manifest: shuin.Descriptor{MediaType: "x/y", Digest: s.artifact.Digest(), Size: 1}}}
	return s.ours.Verify(ctx, s.artifact, sigs, s.doc, verify.Options{Now: s.now, Metadata: s.in.UserMetadata})
}

func (s *stage) askTheirs(ctx context.Context, envelope []byte) error {
	_, err := s.theirs.Verify(ctx, s.desc, envelope, notation.VerifierVerifyOptions{ArtifactReference: s.in.Reference, SignatureMediaType: s.media, UserMetadata: s.in.UserMetadata})
	return err
}

// mutant is what a program makes of one of the bases.
func (a *arena) mutant(program []byte) (*stage, []byte) {
	t := &tape{program}
	s := a.stages[t.next()%len(a.stages)]
	e := s.envelope
	how := t.next() % 4
	if how > 0 {
		if strings.HasSuffix(s.media, "cose") {
			e = mutateCOSE(t, e, a.key, a.certs)
		} else {
			e = mutateJWS(t, e, a.key, a.certs64)
		}
	}
	if how == 0 {
		e = mutateBytes(t, e)
	}
	return s, e
}

// agree judges one mutant on both sides.
func (a *arena) agree(t *testing.T, program []byte) {
	s, e := a.mutant(program)
	var ours []reason
	var theirs error
	at(t, s.now, func(t *testing.T) {
		ours = reasonsOf(s.askOurs(t.Context(), e))
		theirs = s.askTheirs(t.Context(), e)
	})
	if (len(ours) == 0) == (theirs == nil) {
		return
	}
	var message string
	if len(ours) > 0 {
		message = withoutPaths(fmt.Sprintf("%s: %s", ours[0].Row, ours[0].Text))
	} else {
		message = theirs.Error()
	}
	for i, c := range a.classes {
		if c.Kind != "" || c.Shuin != decision(len(ours) > 0) {
			continue
		}
		if c.Message != "" && a.rules[i].MatchString(message) || c.When == "name-twice" && nameTwice(e) {
			return
		}
	}
	t.Errorf("Shuin %s, notation-go %s (%v); no class in %s has %q\nenvelope: %s", decision(len(ours) > 0), decision(theirs != nil), theirs, differencesFile, message, printable(e))
}

// nameTwice reports whether a JSON object of the envelope has two members of
// one name, ignoring case: which of them counts is then up to the decoder, and
// what a strict one says of it is up to which it meets first.
func nameTwice(e []byte) bool {
	objects := [][]byte{e}
	if len(e) > 0 && e[0] == '{' {
		m, _ := openJWS(e)
		objects = append(objects, m.protected, m.payload)
	} else if len(e) > 1 {
		var parts []cbor.RawMessage
		var payload []byte
		if cbor.Unmarshal(e[1:], &parts) == nil && len(parts) == 4 && cbor.Unmarshal(parts[2], &payload) == nil {
			objects = append(objects, payload)
		}
	}
	for i := 0; i < len(objects) && i < 64; i++ {
		seen := map[string]bool{}
		for _, p := range split(objects[i]) {
			name := strings.ToLower(p.name)
			if seen[name] {
				return true
			}
			seen[name] = true
			if strings.HasPrefix(p.value, "{") {
				objects = append(objects, []byte(p.value))
			}
		}
	}
	return false
}

func printable(e []byte) string {
	if len(e) > 0 && e[0] == '{' {
		return string(e)
	}
	return base64.StdEncoding.EncodeToString(e)
}

// FuzzVerifyAgrees: both verifiers accept or refuse the same envelopes, but for
// the classes of differences that are listed with their rows.
func FuzzVerifyAgrees(f *testing.F) {
	a := newArena(f)
	for i := range bases {
		f.Add([]byte{byte(i)})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		f.Add(randomProgram(r))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 64 {
			return
		}
		a.agree(t, program)
	})
}

func randomProgram(r *rand.Rand) []byte {
	p := make([]byte, 4+r.IntN(24))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// Mutations of the vectors are decided alike: a fixed number of programs, the
// same on every run. FuzzVerifyAgrees goes on from there.
func TestMutationsAreDecidedAlike(t *testing.T) {
	a := newArena(t)
	r := rand.New(rand.NewPCG(*seed, 1))
	for range *mutations {
		a.agree(t, randomProgram(r))
	}
}
