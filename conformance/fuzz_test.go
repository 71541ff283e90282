package conformance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
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
	"ATT-08/unknown-attribute-jws", "ATT-08/unknown-attribute-cose", "CERT-10/signer-is-its-own-root-jws", "CERT-10/signer-is-its-own-root-cose",
	"CERT-11/five-certificates-jws", "CERT-11/five-certificates-cose", "VER-03/intermediate-in-store-jws", "VER-03/intermediate-in-store-cose",
	"TI-01/full-subject-matches", "TP-04/permissive-logs-expiry", "TSA-03/root-in-token"}

// audited are those that are also judged under level audit, with a trust store
// that anchors them and with one that does not: then little more than the
// form, the signature and the payload decides.
var audited = []string{"ALG-01/p256-jws", "ALG-01/p256-cose", "ATT-03/signing-authority-jws", "ATT-03/signing-authority-cose", "ATT-11/timestamp-jws", "ATT-11/timestamp-cose"}

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
	unrelated := input[chainCase](tb, loadVector(tb, "CERT-01/timestamping")).Chain
	for i, id := range slices.Concat(audited, audited) {
		v := loadVector(tb, id)
		in := input[envelopeCase](tb, v)
		in.TrustPolicy = bytes.ReplaceAll(in.TrustPolicy, []byte(`"strict"`), []byte(`"audit"`))
		for name := range in.TrustStores {
			if i >= len(audited) {
				in.TrustStores[name] = unrelated[len(unrelated)-1:]
			}
		}
		a.stages = append(a.stages, stageOf(tb, in, v.Now))
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
		if c.When != "" && conditions[c.When] == nil {
			tb.Fatalf("class %s: no condition %q", c.Name, c.When)
		}
		a.rules = append(a.rules, r)
	}
}

func newStage(tb testing.TB, v *vector) *stage {
	tb.Helper()
	return stageOf(tb, input[envelopeCase](tb, v), v.Now)
}

func stageOf(tb testing.TB, in envelopeCase, now time.Time) *stage {
	tb.Helper()
	s := &stage{in: in, now: now}
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

func (s *stage) askTheirs(ctx context.Context, envelope []byte) (err error) {
	// A panic accepts nothing.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("notation-go panics: %v", p)
		}
	}()
	_, err = s.theirs.Verify(ctx, s.desc, envelope, notation.VerifierVerifyOptions{ArtifactReference: s.in.Reference, SignatureMediaType: s.media, UserMetadata: s.in.UserMetadata})
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
	ours, message, theirs := s.decide(t, e)
	if ours == decision(theirs != nil) || len(a.classesOf(s.media, e, ours, message)) > 0 {
		return
	}
	t.Errorf("Shuin %s, notation-go %s (%v); no class in %s has %q\nprogram: %q\nenvelope: %s", ours, decision(theirs != nil), theirs, differencesFile, message, program, printable(e))
}

// decide asks both sides about an envelope. The message is that of the side
// that refuses: Shuin's if both do.
func (s *stage) decide(t *testing.T, e []byte) (ours, message string, theirs error) {
	var reasons []reason
	at(t, s.now, func(t *testing.T) {
		reasons = reasonsOf(s.askOurs(t.Context(), e))
		theirs = s.askTheirs(t.Context(), e)
	})
	switch {
	case len(reasons) > 0:
		message = messageOf(reasons)
	case theirs != nil:
		message = theirs.Error()
	}
	return decision(len(reasons) > 0), message, theirs
}

// messageOf is what the message of a class is compared with.
func messageOf(reasons []reason) string {
	return withoutPaths(fmt.Sprintf("%s: %s", reasons[0].Row, reasons[0].Text))
}

// classesOf names the classes that a difference belongs to.
func (a *arena) classesOf(media string, e []byte, ours, message string) []string {
	var names []string
	for i, c := range a.classes {
		if c.Kind == "" && c.Shuin == ours && (c.Format == "" || strings.HasSuffix(media, c.Format)) &&
			(c.Message == "" || a.rules[i].MatchString(message)) && (c.When == "" || conditions[c.When](e)) {
			names = append(names, c.Name)
		}
	}
	return names
}

// conditions are what a class may ask of the envelope.
var conditions = map[string]func(envelope []byte) bool{"name-twice": nameTwice, "expiry-of-year-one": expiryOfYearOne, "odd-agent": oddAgent, "protected-chain": protectedChain}

// expiryOfYearOne reports whether a JWS has the expiry that Go's time package
// calls zero.
func expiryOfYearOne(e []byte) bool {
	m, _ := openJWS(e)
	for _, p := range split(m.protected) {
		var t time.Time
		if p.name == notary+"expiry" && json.Unmarshal([]byte(p.value), &t) == nil {
			return t.IsZero()
		}
	}
	return false
}

// oddAgent reports whether a COSE envelope has a signing agent that is no text.
func oddAgent(e []byte) bool {
	m, ok := openCOSE(e)
	return ok && slices.ContainsFunc(m.unprotected, func(p entry) bool {
		var label any
		var text string
		return cbor.Unmarshal(p.key, &label) == nil && label == notary+"signingAgent" && (p.value[0]>>5 != 3 || cbor.Unmarshal(p.value, &text) != nil)
	})
}

// protectedChain reports whether a COSE envelope has x5chain in its protected header.
func protectedChain(e []byte) bool {
	m, ok := openCOSE(e)
	return ok && slices.ContainsFunc(m.protected, func(p entry) bool {
		var label any
		return cbor.Unmarshal(p.key, &label) == nil && label == uint64(33)
	})
}

// foldedNames are the names that are looked for in any letter case.
var foldedNames = []string{"payload", "protected", "header", "signature", "x5c", notary + "timestampSignature", notary + "signingAgent", "alg", "cty", "crit",
	notary + "signingScheme", notary + "signingTime", notary + "authenticSigningTime", notary + "expiry",
	"targetArtifact", "mediaType", "digest", "size", "annotations", "urls", "data", "platform", "artifactType"}

// nameTwice reports whether a JSON object of the envelope has two members of
// one name, or of one that both sides know, ignoring case: which of them
// counts is then up to the decoder, and what a strict one says of it is up to
// which it meets first.
func nameTwice(e []byte) bool {
	values := [][]byte{e}
	if len(e) > 0 && e[0] == '{' {
		m, _ := openJWS(e)
		values = append(values, m.protected, m.payload)
	} else if m, ok := openCOSE(e); ok {
		values = append(values, m.payload)
	}
	for i := 0; i < len(values) && i < 1000; i++ {
		v := bytes.TrimSpace(values[i])
		var list []json.RawMessage
		if len(v) > 0 && v[0] == '[' && json.Unmarshal(v, &list) == nil {
			for _, l := range list {
				values = append(values, l)
			}
		}
		if len(v) == 0 || v[0] != '{' {
			continue
		}
		seen := map[string]bool{}
		for _, p := range split(v) {
			name := p.name
			for _, k := range foldedNames {
				if strings.EqualFold(name, k) {
					name = k
				}
			}
			if seen[name] {
				return true
			}
			seen[name] = true
			values = append(values, []byte(p.value))
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
	for i := range a.stages {
		f.Add([]byte{byte(i)})
	}
	f.Add([]byte{0, 1, 13, byte(slices.Index(jsonNames, "kid")), 0, byte(slices.Index(jsonValues, "null"))}) // crit lists a registered header
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
	for i, s := range a.stages {
		if ours, message, theirs := s.decide(t, s.envelope); ours != "accepts" || theirs != nil {
			t.Errorf("base %d, unchanged: Shuin %s (%s), notation-go says %v", i, ours, message, theirs)
		}
	}
	r := rand.New(rand.NewPCG(*seed, 1))
	for range *mutations {
		a.agree(t, randomProgram(r))
	}
}
