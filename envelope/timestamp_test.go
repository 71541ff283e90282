package envelope_test

import (
	"crypto"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

var stampedSignature = []byte("the primitive signature")

func newTSA(o shuintest.ChainOptions) *shuintest.TSA {
	o.Timestamping = true
	return &shuintest.TSA{Chain: shuintest.MustChain(o)}
}

func token(t testing.TB, tsa *shuintest.TSA) []byte {
	t.Helper()
	b, err := tsa.Token(stampedSignature, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTimestampsRead(t *testing.T) {
	genTime := time.Now().UTC().Truncate(time.Second)
	now := func() time.Time { return genTime }
	cases := []struct {
		name     string
		change   func(*shuintest.TSA)
		accuracy time.Duration
		noRoots  bool
	}{
		{name: "TSA-03 a token with its whole chain", change: func(*shuintest.TSA) {}},
		{name: "TSA-03 the root comes from the store", change: func(a *shuintest.TSA) { a.OmitRoot = true }},
		{name: "TSA-03 no store yet", change: func(*shuintest.TSA) {}, noRoots: true},
		{name: "TSA-03 no store yet and no root in the token", change: func(a *shuintest.TSA) { a.OmitRoot = true }, noRoots: true},
		{name: "TSA-03 signed with SHA-512", change: func(a *shuintest.TSA) { a.Digest = crypto.SHA512 }},
		{name: "TSA-04 accuracy stated", change: func(a *shuintest.TSA) { a.Accuracy = 2*time.Second + 3*time.Millisecond }, accuracy: 2*time.Second + 3*time.Millisecond},
		{name: "TSA-04 an accuracy of a day", change: func(a *shuintest.TSA) { a.Accuracy = limits.TSAAccuracy }, accuracy: limits.TSAAccuracy},
		{name: "TSA-04 baseline policy", change: func(a *shuintest.TSA) { a.Policy = shuintest.OIDBaselinePolicy }, accuracy: time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tsa := newTSA(shuintest.ChainOptions{})
			tsa.Now = now
			c.change(tsa)
			roots := []*x509.Certificate{tsa.Chain.Root()}
			if c.noRoots {
				roots = nil
			}
			ts, err := envelope.ParseTimestamp(token(t, tsa), stampedSignature, roots)
			if err != nil {
				t.Fatal(err)
			}
			if !ts.Time.Equal(genTime) || ts.Accuracy != c.accuracy {
				t.Errorf("time %v ± %v, want %v ± %v", ts.Time, ts.Accuracy, genTime, c.accuracy)
			}
			want := tsa.Chain.Certs
			if c.noRoots && tsa.OmitRoot {
				want = want[:2]
			}
			if !slices.EqualFunc(ts.Chain, want, (*x509.Certificate).Equal) {
				t.Errorf("chain is %d certificates, want %d", len(ts.Chain), len(want))
			}
		})
	}
}

func TestTimestampsRefused(t *testing.T) {
	past := func() time.Time { return time.Now().AddDate(-10, 0, 0) }
	cases := []struct {
		name    string
		code    shuin.Code
		options shuintest.ChainOptions
		change  func(*shuintest.TSA)
	}{
		{name: "TSA-03 of another signature", change: func(a *shuintest.TSA) { a.Mutate = func(k *shuintest.Token) { k.Imprint[0] ^= 1 } }},
		{name: "TSA-03 imprint with SHA-1", change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.ImprintHash, k.Imprint = crypto.SHA1, make([]byte, 20) }
		}},
		{name: "TSA-03 version 2", change: func(a *shuintest.TSA) { a.Mutate = func(k *shuintest.Token) { k.Version = 2 } }},
		{name: "TSA-03 bad CMS signature", change: func(a *shuintest.TSA) { a.Mutate = func(k *shuintest.Token) { k.BadSignature = true } }},
		{name: "TSA-03 wrong message digest", change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.MessageDigest = make([]byte, 32) }
		}},
		{name: "TSA-03 signed with SHA-1", change: func(a *shuintest.TSA) { a.Digest = crypto.SHA1 }},
		{name: "TSA-03 no signer", change: func(a *shuintest.TSA) { a.Mutate = func(k *shuintest.Token) { k.NoSigner = true } }},
		{name: "TSA-03 no signing-certificate-v2", change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.SigningCertificate = shuintest.SigningCertificateNone }
		}},
		{name: "TSA-03 only signing-certificate of version 1", change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.SigningCertificate = shuintest.SigningCertificateV1 }
		}},
		{name: "TSA-03 signing-certificate-v2 of another certificate", change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.SigningCertDigest = make([]byte, 32) }
		}},
		{name: "TSA-03 no certificates", change: func(a *shuintest.TSA) { a.Mutate = func(k *shuintest.Token) { k.Certs = nil } }},
		{name: "TSA-03 not TSTInfo", change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.ContentType = []int{1, 2, 840, 113549, 1, 7, 1} }
		}},
		{name: "TSA-03 unknown root", code: shuin.CodeUntrusted, change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) {
				other := newTSA(shuintest.ChainOptions{Family: 9, CA: "Other"}).Chain
				k.Certs, k.Leaf, k.Key = other.DER, other.Leaf(), other.Key()
			}
		}},
		{name: "TSA-03 chain not valid at its time", code: shuin.CodeExpired, change: func(a *shuintest.TSA) { a.Now = past }},
		{name: "TSA-03 too many certificates", code: shuin.CodeLimit, change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) {
				for range limits.ChainLength {
					k.Certs = append(k.Certs, k.Certs[0])
				}
			}
		}},
		{name: "TSA-04 an accuracy of more than a day", code: shuin.CodeLimit, change: func(a *shuintest.TSA) { a.Accuracy = limits.TSAAccuracy + time.Second }},
		{name: "TSA-04 an accuracy that wraps round when it is added up", code: shuin.CodeLimit, change: func(a *shuintest.TSA) {
			a.Mutate = func(k *shuintest.Token) { k.AccuracySeconds = 9_300_000_000 }
		}},
		{name: "CERT-06 TSA certificate with keyCertSign", options: at(0, usage(x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign)), change: func(*shuintest.TSA) {}},
		{name: "CERT-02 TSA's CA with basic constraints not critical", options: at(1, extra(shuintest.BasicConstraints(false, true, -1))), change: func(*shuintest.TSA) {}},
		{name: "CERT-12 TSA root signed with SHA-1", options: shuintest.ChainOptions{Rewrite: shuintest.WithSHA1(2)}, change: func(*shuintest.TSA) {}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tsa := newTSA(c.options)
			c.change(tsa)
			code := c.code
			if code == "" {
				code = shuin.CodeTampered
			}
			_, err := envelope.ParseTimestamp(token(t, tsa), stampedSignature, []*x509.Certificate{tsa.Chain.Root()})
			wantRow(t, err, row(c.name), code)
		})
	}
	t.Run("TSA-03 huge", func(t *testing.T) {
		_, err := envelope.ParseTimestamp(make([]byte, limits.TimestampBytes+1), nil, nil)
		wantRow(t, err, "TSA-03", shuin.CodeLimit)
	})
	t.Run("TSA-03 a bomb of nested values", func(t *testing.T) {
		b := make([]byte, 0, limits.TimestampBytes)
		for len(b)+6 < cap(b) {
			n := cap(b) - len(b) - 6
			b = append(b, 0x30, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		}
		_, err := envelope.ParseTimestamp(b, nil, nil)
		wantRow(t, err, "TSA-03", shuin.CodeTampered)
	})
	for _, b := range [][]byte{nil, {0}, {0x30, 0x80}, []byte("token")} {
		_, err := envelope.ParseTimestamp(b, nil, nil)
		wantRow(t, err, "TSA-03", shuin.CodeTampered)
	}
}
