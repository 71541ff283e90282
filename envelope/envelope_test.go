package envelope_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

var (
	mediaTypes  = []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE}
	testTime    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	testPayload = []byte(`{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0","size":32654}}`)
)

func kind(mediaType string) string { return strings.TrimPrefix(mediaType, "application/") }

// wantRow fails the test unless err is an *envelope.Error of that row, with
// that code in its tree.
func wantRow(t *testing.T, err error, row string, code shuin.Code) {
	t.Helper()
	var e *envelope.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want an *envelope.Error of row %s", err, err, row)
	}
	if e.Row != row {
		t.Errorf("row is %s (%v), want %s", e.Row, err, row)
	}
	if got := shuin.CodeOf(err); got != code {
		t.Errorf("code is %s (%v), want %s", got, err, code)
	}
}

func parse(t *testing.T, mediaType string, data []byte) *envelope.Envelope {
	t.Helper()
	e, err := envelope.Parse(mediaType, data)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return e
}

// TestForeignEnvelopes reads envelopes that an encoder of another making wrote.
func TestForeignEnvelopes(t *testing.T) {
	for _, mt := range mediaTypes {
		for _, key := range shuintest.KeyTypes {
			for _, scheme := range []envelope.Scheme{envelope.SchemeX509, envelope.SchemeSigningAuthority} {
				t.Run(fmt.Sprintf("ALG-01 %s %s %s", kind(mt), key, scheme), func(t *testing.T) {
					chain := shuintest.MustChain(shuintest.ChainOptions{Key: key})
					e := parse(t, mt, shuintest.MustEnvelope(shuintest.EnvelopeOptions{
						MediaType: mt, Chain: chain, Payload: testPayload, Scheme: string(scheme), Time: testTime,
						Expiry: testTime.Add(time.Hour), Agent: "other/1.0",
					}))
					if err := e.VerifySignature(chain.Leaf().PublicKey); err != nil {
						t.Errorf("VerifySignature: %v", err)
					}
					at := e.SigningTime
					if scheme == envelope.SchemeSigningAuthority {
						at = e.AuthenticSigningTime
					}
					if e.Scheme != scheme || !at.Equal(testTime) || !e.Expiry.Equal(testTime.Add(time.Hour)) || e.SigningAgent != "other/1.0" {
						t.Errorf("attributes are wrong: %+v", e)
					}
					if !bytes.Equal(e.Payload, testPayload) || e.ContentType != shuin.MediaTypePayload || e.MediaType != mt {
						t.Errorf("payload is wrong: %q %q", e.ContentType, e.Payload)
					}
					if diff := cmp.Diff(chain.DER, e.Chain); diff != "" {
						t.Error(diff)
					}
				})
			}
		}
	}
}

// TestSealedEnvelopes: Parse(Seal(x)) = x, for chains of every length.
func TestSealedEnvelopes(t *testing.T) {
	for _, mt := range mediaTypes {
		for length := 1; length <= limits.ChainLength; length++ {
			t.Run(fmt.Sprintf("ATT-10 %s chain of %d", kind(mt), length), func(t *testing.T) {
				chain := shuintest.MustChain(shuintest.ChainOptions{Length: length})
				draft := envelope.Draft{
					MediaType: mt, Algorithm: envelope.ES256, Payload: testPayload, Scheme: envelope.SchemeX509,
					SigningTime: testTime, Expiry: testTime.Add(48 * time.Hour), SigningAgent: `a"b<c> é/1`,
					Extended: []envelope.Attribute{
						{Key: "com.example.a", Value: "text", Critical: true},
						{Key: "com.example.b", Value: true},
						{Key: "io.cncf.notary.verificationPlugin", Value: "com.example.plugin", Critical: true},
					},
				}
				data := seal(t, draft, chain, []byte("token"))
				got := parse(t, mt, data)
				if err := got.VerifySignature(chain.Leaf().PublicKey); err != nil {
					t.Errorf("VerifySignature: %v", err)
				}
				want := &envelope.Envelope{
					MediaType: mt, Algorithm: draft.Algorithm, ContentType: shuin.MediaTypePayload, Payload: testPayload,
					Scheme: draft.Scheme, SigningTime: draft.SigningTime, Expiry: draft.Expiry, Extended: draft.Extended,
					Chain: chain.DER, TimestampToken: []byte("token"), SigningAgent: draft.SigningAgent,
				}
				byKey := cmpopts.SortSlices(func(a, b envelope.Attribute) bool { return a.Key.(string) < b.Key.(string) })
				if diff := cmp.Diff(want, got, byKey, cmpopts.IgnoreUnexported(envelope.Envelope{}), cmpopts.IgnoreFields(envelope.Envelope{}, "Signature")); diff != "" {
					t.Error(diff)
				}
				certs, err := envelope.ParseChain(got.Chain)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(envelope.CheckChain(certs, envelope.CodeSigning), envelope.CheckLinks(certs, nil), envelope.CheckRoot(certs)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func seal(t testing.TB, d envelope.Draft, chain *shuintest.Chain, token []byte) []byte {
	t.Helper()
	u, err := d.Prepare()
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	sig, err := d.Algorithm.Sign(chain.Key(), u.SignedBytes())
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	data, err := u.Seal(sig, chain.DER, token)
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	return data
}

func TestSignAndVerifyWithEachAlgorithm(t *testing.T) {
	names := map[shuintest.KeyType][3]string{
		shuintest.RSA2048: {"PS256", "RSASSA-PSS-SHA-256", "RSA-2048"}, shuintest.RSA3072: {"PS384", "RSASSA-PSS-SHA-384", "RSA-3072"},
		shuintest.RSA4096: {"PS512", "RSASSA-PSS-SHA-512", "RSA-4096"}, shuintest.P256: {"ES256", "ECDSA-SHA-256", "EC-256"},
		shuintest.P384: {"ES384", "ECDSA-SHA-384", "EC-384"}, shuintest.P521: {"ES512", "ECDSA-SHA-512", "EC-521"},
	}
	for _, kt := range shuintest.KeyTypes {
		t.Run("ALG-02 "+kt.String(), func(t *testing.T) {
			key, err := shuintest.Key(kt, 0)
			if err != nil {
				t.Fatal(err)
			}
			a, err := envelope.AlgorithmOf(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if got := [3]string{a.JOSE(), a.String(), a.KeySpec()}; got != names[kt] {
				t.Errorf("names are %v, want %v", got, names[kt])
			}
			spec, err1 := envelope.AlgorithmFromKeySpec(a.KeySpec())
			name, err2 := envelope.AlgorithmFromName(a.String())
			if spec != a || name != a || err1 != nil || err2 != nil {
				t.Errorf("read back as %v and %v (%v, %v)", spec, name, err1, err2)
			}
			if a.Hash() != kt.Hash() {
				t.Errorf("hash is %v, want %v", a.Hash(), kt.Hash())
			}
			for i := range 20 { // ECDSA numbers with leading zeros among them
				msg := fmt.Appendf(nil, "message %d", i)
				sig, err := a.Sign(key, msg)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.VerifySignature(key.Public(), msg, sig); err != nil {
					t.Fatal(err)
				}
				sig[len(sig)/2] ^= 1
				if a.VerifySignature(key.Public(), msg, sig) == nil {
					t.Fatal("a spoilt signature verifies")
				}
				if kt == shuintest.RSA3072 || kt == shuintest.RSA4096 {
					break
				}
			}
			for _, short := range [][]byte{nil, {1}, make([]byte, 64), make([]byte, 96), make([]byte, 132), make([]byte, 512)} {
				if a.VerifySignature(key.Public(), []byte("x"), short) == nil {
					t.Errorf("%d zero bytes verify", len(short))
				}
			}
			for other := envelope.PS256; other <= envelope.ES512; other++ {
				if other == a {
					continue
				}
				_, err := other.Sign(key, []byte("x"))
				wantRow(t, err, "ALG-02", shuin.CodeTampered)
				wantRow(t, other.VerifySignature(key.Public(), []byte("x"), []byte("x")), "ALG-02", shuin.CodeTampered)
			}
		})
	}
	for _, kt := range []shuintest.KeyType{shuintest.RSA1024, shuintest.P224, shuintest.Ed25519} {
		t.Run("ALG-02 no algorithm for "+kt.String(), func(t *testing.T) {
			key, err := shuintest.Key(kt, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = envelope.AlgorithmOf(key.Public())
			wantRow(t, err, "ALG-02", shuin.CodeTampered)
		})
	}
	if zero := envelope.Algorithm(0); zero.JOSE() != "" || zero.KeySpec() != "" || zero.Hash() != 0 {
		t.Error("the zero algorithm has names")
	}
}

func TestSignatureMustFitTheEnvelope(t *testing.T) {
	rows := map[string][2]string{shuin.MediaTypeJWS: {"JWS-09", "JWS-02"}, shuin.MediaTypeCOSE: {"COSE-08", "COSE-02"}}
	for _, mt := range mediaTypes {
		chain := shuintest.MustChain(shuintest.ChainOptions{})
		good := shuintest.MustEnvelope(shuintest.EnvelopeOptions{MediaType: mt, Chain: chain, Payload: testPayload})
		for name, tamper := range map[string]func(string, []byte) ([]byte, error){"payload": shuintest.TamperPayload, "signature": shuintest.TamperSignature} {
			t.Run(rows[mt][0]+" changed "+name, func(t *testing.T) {
				bad, err := tamper(mt, good)
				if err != nil {
					t.Fatal(err)
				}
				wantRow(t, parse(t, mt, bad).VerifySignature(chain.Leaf().PublicKey), rows[mt][0], shuin.CodeTampered)
			})
		}
		t.Run(rows[mt][1]+" alg of another key", func(t *testing.T) {
			other := shuintest.MustChain(shuintest.ChainOptions{Key: shuintest.P384})
			wantRow(t, parse(t, mt, good).VerifySignature(other.Leaf().PublicKey), rows[mt][1], shuin.CodeTampered)
		})
		t.Run(rows[mt][0]+" another key of the same kind", func(t *testing.T) {
			other := shuintest.MustChain(shuintest.ChainOptions{Family: 7})
			wantRow(t, parse(t, mt, good).VerifySignature(other.Leaf().PublicKey), rows[mt][0], shuin.CodeTampered)
		})
	}
}

func TestParseRefusesOtherMediaTypesAndSizes(t *testing.T) {
	_, err := envelope.Parse("application/pkcs7", []byte("{}"))
	wantRow(t, err, "VER-01", shuin.CodeTampered)
	_, err = envelope.Parse(shuin.MediaTypeJWS, make([]byte, limits.EnvelopeBytes+1))
	wantRow(t, err, "VER-01", shuin.CodeLimit)
}

func TestPrepareRefusesWhatParseRefuses(t *testing.T) {
	good := envelope.Draft{Algorithm: envelope.ES256, Payload: testPayload, Scheme: envelope.SchemeX509, SigningTime: testTime}
	type row = [2]string // JWS, COSE
	cases := []struct {
		name   string
		row    row
		code   shuin.Code
		change func(*envelope.Draft)
	}{
		{"no algorithm", row{"ALG-01", "ALG-01"}, shuin.CodeTampered, func(d *envelope.Draft) { d.Algorithm = 0 }},
		{"no payload", row{"PAY-01", "PAY-01"}, shuin.CodeTampered, func(d *envelope.Draft) { d.Payload = nil }},
		{"huge payload", row{"PAY-01", "PAY-01"}, shuin.CodeLimit, func(d *envelope.Draft) { d.Payload = make([]byte, limits.PayloadBytes+1) }},
		{"no scheme", row{"SCH-02", "SCH-02"}, shuin.CodeTampered, func(d *envelope.Draft) { d.Scheme = "" }},
		{"no time", row{"ATT-04", "ATT-04"}, shuin.CodeTampered, func(d *envelope.Draft) { d.SigningTime = time.Time{} }},
		{"both times", row{"ATT-05", "ATT-05"}, shuin.CodeTampered, func(d *envelope.Draft) { d.AuthenticSigningTime = testTime }},
		{"SCH-03 no authentic time", row{"ATT-05", "ATT-05"}, shuin.CodeTampered, func(d *envelope.Draft) {
			d.Scheme, d.SigningTime = envelope.SchemeSigningAuthority, time.Time{}
		}},
		{"expiry before signing", row{"ATT-06", "ATT-06"}, shuin.CodeTampered, func(d *envelope.Draft) { d.Expiry = testTime.Add(-time.Hour) }},
		{"expiry at signing", row{"ATT-06", "ATT-06"}, shuin.CodeTampered, func(d *envelope.Draft) { d.Expiry = testTime }},
		{"year 10000", row{"JWS-06", "COSE-05"}, shuin.CodeTampered, func(d *envelope.Draft) {
			d.Expiry = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"an attribute twice", row{"JWS-01", "COSE-01"}, shuin.CodeTampered, func(d *envelope.Draft) {
			d.Extended = []envelope.Attribute{{Key: "a"}, {Key: "a"}}
		}},
		{"a standard attribute again", row{"JWS-01", "COSE-01"}, shuin.CodeTampered, func(d *envelope.Draft) {
			d.Extended = []envelope.Attribute{{Key: "io.cncf.notary.signingScheme", Value: "x"}}
		}},
		{"a key of no use", row{"JWS-05", "COSE-03"}, shuin.CodeTampered, func(d *envelope.Draft) {
			d.Extended = []envelope.Attribute{{Key: 1.5, Value: "x"}}
		}},
		{"too many attributes", row{"JWS-01", "COSE-01"}, shuin.CodeLimit, func(d *envelope.Draft) {
			for i := range limits.ExtendedAttributes + 1 {
				d.Extended = append(d.Extended, envelope.Attribute{Key: fmt.Sprint("k", i), Value: "x"})
			}
		}},
	}
	for i, mt := range mediaTypes {
		for _, c := range cases {
			t.Run(c.row[i]+" "+kind(mt)+" "+c.name, func(t *testing.T) {
				d := good
				d.MediaType = mt
				c.change(&d)
				_, err := d.Prepare()
				wantRow(t, err, c.row[i], c.code)
			})
		}
		t.Run(kind(mt)+" the draft itself is good", func(t *testing.T) {
			d := good
			d.MediaType = mt
			if _, err := d.Prepare(); err != nil {
				t.Error(err)
			}
		})
	}
	_, err := good.Prepare()
	wantRow(t, err, "VER-01", shuin.CodeTampered)
}

func TestSealRefusesWhatParseRefuses(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	rows := map[string]map[string]string{
		shuin.MediaTypeJWS:  {"signature": "JWS-09", "chain": "JWS-07", "timestamp": "JWS-08"},
		shuin.MediaTypeCOSE: {"signature": "COSE-08", "chain": "COSE-06", "timestamp": "COSE-07"},
	}
	for _, mt := range mediaTypes {
		d := envelope.Draft{MediaType: mt, Algorithm: envelope.ES256, Payload: testPayload, Scheme: envelope.SchemeX509, SigningTime: testTime}
		u, err := d.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		sig := make([]byte, 64)
		_, err = u.Seal(nil, chain.DER, nil)
		wantRow(t, err, rows[mt]["signature"], shuin.CodeTampered)
		_, err = u.Seal(sig, nil, nil)
		wantRow(t, err, rows[mt]["chain"], shuin.CodeTampered)
		_, err = u.Seal(sig, make([][]byte, limits.ChainLength+1), nil)
		wantRow(t, err, rows[mt]["chain"], shuin.CodeLimit)
		_, err = u.Seal(sig, [][]byte{make([]byte, limits.CertificateBytes+1)}, nil)
		wantRow(t, err, rows[mt]["chain"], shuin.CodeLimit)
		_, err = u.Seal(sig, chain.DER, make([]byte, limits.TimestampBytes+1))
		wantRow(t, err, rows[mt]["timestamp"], shuin.CodeLimit)

		d.Scheme, d.AuthenticSigningTime, d.SigningTime = envelope.SchemeSigningAuthority, testTime, time.Time{}
		if u, err = d.Prepare(); err != nil {
			t.Fatal(err)
		}
		_, err = u.Seal(sig, chain.DER, []byte("token"))
		wantRow(t, err, "ATT-11", shuin.CodeTampered)
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	_, err := envelope.ParseChain([][]byte{{0x30}})
	wantRow(t, err, "ATT-10", shuin.CodeTampered)
	var coded *shuin.Error
	if !errors.As(err, &coded) || coded.Code != shuin.CodeTampered || coded.Error() != err.Error() {
		t.Errorf("no shuin.Error in %v", err)
	}
	cause := errors.New("cause")
	if !errors.Is(&envelope.Error{Row: "X", Code: shuin.CodeLimit, Msg: "m", Err: cause}, cause) {
		t.Error("the cause is lost")
	}
}

// TestSaltOfAnotherLength: JWS signers with another salt than RFC 7518 wants
// exist and notation takes them; COSE is strict in both.
func TestSaltOfAnotherLength(t *testing.T) {
	chain := shuintest.MustChain(shuintest.ChainOptions{Key: shuintest.RSA2048})
	odd := &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256}
	for _, mt := range mediaTypes {
		d := envelope.Draft{MediaType: mt, Algorithm: envelope.PS256, Payload: testPayload, Scheme: envelope.SchemeX509, SigningTime: testTime}
		u, err := d.Prepare()
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(u.SignedBytes())
		sig, err := chain.Key().Sign(rand.Reader, sum[:], odd)
		if err != nil {
			t.Fatal(err)
		}
		data, err := u.Seal(sig, chain.DER, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = parse(t, mt, data).VerifySignature(chain.Leaf().PublicKey)
		if mt == shuin.MediaTypeJWS {
			if err != nil {
				t.Errorf("JWS-09: %v", err)
			}
			continue
		}
		wantRow(t, err, "COSE-08", shuin.CodeTampered)
	}
}
