package issue_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/issue"
)

func mustIssue(t testing.TB, a *issue.Authority, r issue.Request) *issue.Issued {
	t.Helper()
	p, err := a.Prepare(r)
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.Issue(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func checkWhole(t testing.TB, chain []*x509.Certificate) {
	t.Helper()
	if err := envelope.CheckChain(chain, envelope.CodeSigning); err != nil {
		t.Error(err)
	}
	if err := envelope.CheckLinks(chain, nil); err != nil {
		t.Error(err)
	}
	if err := envelope.CheckRoot(chain); err != nil {
		t.Error(err)
	}
}

func TestAChainOfFourPassesEveryRuleOfTheEnvelope(t *testing.T) {
	for _, kind := range []issue.KeyType{issue.P256, issue.P384} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, kind)
			r := leafRequest(mustKey(t, issue.P384).Public())
			made := mustIssue(t, w.issuing, r)
			if len(made.Chain) != 4 || made.Chain[0] != made.Certificate {
				t.Fatalf("chain of %d", len(made.Chain))
			}
			checkWhole(t, made.Chain)
			leaf := made.Certificate
			if got, want := leaf.Subject.String(), "CN=build,OU=111122223333,O=Example,ST=Tokyo,C=JP"; got != want {
				t.Errorf("subject %s, want %s", got, want)
			}
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != arn {
				t.Errorf("URIs %v", leaf.URIs)
			}
			if len(leaf.OCSPServer) != 0 || len(leaf.CRLDistributionPoints) != 1 {
				t.Errorf("revocation addresses: OCSP %v, CRL %v", leaf.OCSPServer, leaf.CRLDistributionPoints)
			}
			roots, between := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(made.Chain[3])
			between.AddCert(made.Chain[1])
			between.AddCert(made.Chain[2])
			_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
			if err != nil {
				t.Errorf("Go's own verification: %v", err)
			}
			notBefore, notAfter := w.issuing.Validity()
			if !notBefore.Equal(now.Add(-time.Hour)) || !notAfter.Equal(now.Add(2*year)) {
				t.Errorf("validity of the authority: %s to %s", notBefore, notAfter)
			}
		})
	}
}

func TestFractionsOfSecondsAreCut(t *testing.T) {
	w := newWorld(t, issue.P256)
	r := leafRequest(mustKey(t, issue.P384).Public())
	r.NotBefore, r.NotAfter = now.Add(500*time.Millisecond), now.Add(day+999*time.Millisecond)
	made := mustIssue(t, w.issuing, r).Certificate
	if !made.NotBefore.Equal(now) || !made.NotAfter.Equal(now.Add(day)) {
		t.Errorf("validity %s to %s", made.NotBefore, made.NotAfter)
	}
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestEachViolationAloneIsRefused(t *testing.T) {
	w := newWorld(t, issue.P256)
	leaf := mustKey(t, issue.P384).Public()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaOf := func(bits uint, e int) *rsa.PublicKey {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: e}
	}
	for _, c := range []struct {
		name, want string
		change     func(*issue.Request)
	}{
		{"no serial number", "serial number is missing", func(r *issue.Request) { r.Serial = nil }},
		{"serial number zero", "not positive", func(r *issue.Request) { r.Serial = new(big.Int) }},
		{"negative serial number", "not positive", func(r *issue.Request) { r.Serial = big.NewInt(-5) }},
		{"serial number of 21 octets", "20 octets", func(r *issue.Request) { r.Serial = new(big.Int).Lsh(big.NewInt(1), 159) }},
		{"end before beginning", "before it begins", func(r *issue.Request) { r.NotAfter = r.NotBefore.Add(-time.Second) }},
		{"no second of validity", "before it begins", func(r *issue.Request) { r.NotAfter = r.NotBefore.Add(time.Millisecond) }},
		{"no times", "years", func(r *issue.Request) { r.NotBefore, r.NotAfter = time.Time{}, time.Time{} }},
		{"year ten thousand", "years", func(r *issue.Request) { r.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"begins before its authority", "before its authority's", func(r *issue.Request) { r.NotBefore = now.Add(-2 * time.Hour) }},
		{"ends after its authority", "after its authority's", func(r *issue.Request) { r.NotAfter = now.Add(2*year + time.Second) }},
		{"no country", "country (C)", func(r *issue.Request) { r.Subject.Country = "" }},
		{"country in full", "country (C)", func(r *issue.Request) { r.Subject.Country = "Japan" }},
		{"country in small letters", "country (C)", func(r *issue.Request) { r.Subject.Country = "jp" }},
		{"no province", "province (ST) is missing", func(r *issue.Request) { r.Subject.Province = "" }},
		{"no organization", "organization (O) is missing", func(r *issue.Request) { r.Subject.Organization = "" }},
		{"no common name", "common name (CN) is missing", func(r *issue.Request) { r.Subject.CommonName = "" }},
		{"common name of 65 characters", "more than 64", func(r *issue.Request) { r.Subject.CommonName = strings.Repeat("a", 65) }},
		{"organization of 65 characters", "more than 64", func(r *issue.Request) { r.Subject.Organization = strings.Repeat("あ", 65) }},
		{"organizational unit of 65 characters", "more than 64", func(r *issue.Request) { r.Subject.OrganizationalUnit = strings.Repeat("a", 65) }},
		{"province of 129 characters", "more than 128", func(r *issue.Request) { r.Subject.Province = strings.Repeat("a", 129) }},
		{"space before a name", "space", func(r *issue.Request) { r.Subject.CommonName = " build" }},
		{"line end in a name", "printed", func(r *issue.Request) { r.Subject.CommonName = "bu\nild" }},
		{"name that is not UTF-8", "UTF-8", func(r *issue.Request) { r.Subject.CommonName = "bu\xffild" }},
		{"name of its authority", "read as a root", func(r *issue.Request) { r.Subject = subject("build Ab12Cd34Ef") }},
		{"no key", "public key is missing", func(r *issue.Request) { r.PublicKey = nil }},
		{"private key", "public key of type", func(r *issue.Request) { r.PublicKey = p224 }},
		{"Ed25519 key", "public key of type", func(r *issue.Request) { r.PublicKey = edwards }},
		{"P-224 key", "has no algorithm", func(r *issue.Request) { r.PublicKey = &p224.PublicKey }},
		{"RSA key of 1024 bits", "fewer than 2048", func(r *issue.Request) { r.PublicKey = rsaOf(1024, 65537) }},
		{"RSA key without modulus", "fewer than 2048", func(r *issue.Request) { r.PublicKey = &rsa.PublicKey{} }},
		{"RSA leaf key of 2560 bits", "has no algorithm", func(r *issue.Request) { r.PublicKey = rsaOf(2560, 65537) }},
		{"RSA key with a large exponent", "exponent", func(r *issue.Request) { r.PublicKey = rsaOf(3072, 65539) }},
		{"EC key without point", "no point", func(r *issue.Request) { r.PublicKey = &ecdsa.PublicKey{Curve: elliptic.P384()} }},
		//lint:ignore SA1019 it is malformed on purpose
		{"EC key with half a point", "no point", func(r *issue.Request) { r.PublicKey = &ecdsa.PublicKey{Curve: elliptic.P384(), X: big.NewInt(1)} }},
		//lint:ignore SA1019 it is malformed on purpose
		{"EC key with the other half", "no point", func(r *issue.Request) { r.PublicKey = &ecdsa.PublicKey{Curve: elliptic.P384(), Y: big.NewInt(1)} }},
		//lint:ignore SA1019 it is malformed on purpose
		{"EC key without curve", "no point", func(r *issue.Request) { r.PublicKey = &ecdsa.PublicKey{X: big.NewInt(1), Y: big.NewInt(1)} }},
		{"EC key on another curve than it says", "public key", func(r *issue.Request) {
			k := *leaf.(*ecdsa.PublicKey)
			k.Curve = elliptic.P256()
			r.PublicKey = &k
		}},
		{"EC key that is a nil pointer", "public key is missing", func(r *issue.Request) { r.PublicKey = (*ecdsa.PublicKey)(nil) }},
		{"RSA key that is a nil pointer", "public key is missing", func(r *issue.Request) { r.PublicKey = (*rsa.PublicKey)(nil) }},
		{"key of the issuing CA", "authority above", func(r *issue.Request) { r.PublicKey = w.issuing.Chain()[0].PublicKey }},
		{"key of the root", "authority above", func(r *issue.Request) { r.PublicKey = w.root.Chain()[0].PublicKey }},
		{"relative URI", "not absolute", func(r *issue.Request) { r.URI = mustURL("/signing-profiles/x") }},
		{"URI with a user", "user", func(r *issue.Request) { r.URI = mustURL("http://me:pw@example.com/") }},
		{"URI of a scheme alone", "names nothing", func(r *issue.Request) { r.URI = &url.URL{Scheme: "arn"} }},
		{"URI that reads differently", "reads differently", func(r *issue.Request) { r.URI = &url.URL{Scheme: "arn", Opaque: "aws:x#y"} }},
		{"URI with a line end", "URI", func(r *issue.Request) { r.URI = &url.URL{Scheme: "arn", Opaque: "aws:x\ny"} }},
		{"URI with a letter beyond ASCII", "character", func(r *issue.Request) { r.URI = &url.URL{Scheme: "arn", Opaque: "aws:印"} }},
		{"URI without end", "limit", func(r *issue.Request) { r.URI = &url.URL{Scheme: "arn", Opaque: strings.Repeat("a", 2050)} }},
		{"CRL over https", "http only", func(r *issue.Request) { r.CRL = "https://signer.example.com/x.crl" }},
		{"CRL in LDAP", "http only", func(r *issue.Request) { r.CRL = "ldap://signer.example.com/x" }},
		{"CRL without host", "no host", func(r *issue.Request) { r.CRL = "http:///x.crl" }},
		{"CRL at a port that does not exist", "no port", func(r *issue.Request) { r.CRL = "http://signer.example.com:99999/x.crl" }},
		{"CRL at port zero", "no port", func(r *issue.Request) { r.CRL = "http://signer.example.com:0/x.crl" }},
		{"CRL at a port with a leading zero", "no port", func(r *issue.Request) { r.CRL = "http://signer.example.com:080/x.crl" }},
		{"CRL at an empty port", "no port", func(r *issue.Request) { r.CRL = "http://signer.example.com:/x.crl" }},
		{"CRL with a user", "user", func(r *issue.Request) { r.CRL = "http://me@signer.example.com/x.crl" }},
		{"CRL with a fragment", "not plain", func(r *issue.Request) { r.CRL = "http://signer.example.com/x.crl#y" }},
		{"CRL with a space", "not plain", func(r *issue.Request) { r.CRL = "http://signer.example.com/x y.crl" }},
		{"CRL that is no address", "CRL address", func(r *issue.Request) { r.CRL = "http://[::1" }},
		{"CRL address without end", "limit", func(r *issue.Request) { r.CRL = "http://signer.example.com/" + strings.Repeat("a", 2048) }},
		{"leaf with a path length", "no path length", func(r *issue.Request) { r.MaxPathLen = 1 }},
		{"CA below a path length of 0", "does not fit", func(r *issue.Request) { r.CA, r.URI = true, nil }},
		{"CA with a URI", "no URI", func(r *issue.Request) { r.CA = true }},
		{"CA without path length", "needs a path length", func(r *issue.Request) { r.CA, r.URI, r.MaxPathLen = true, nil, -1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := leafRequest(leaf)
			c.change(&r)
			_, err := w.issuing.Prepare(r)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := w.issuing.Prepare(leafRequest(leaf)); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestLeavesMayHaveAnyKeyOfTheNotaryProject(t *testing.T) {
	w := newWorld(t, issue.P256)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{mustKey(t, issue.P256), mustKey(t, issue.P384), p521, rsa2048} {
		checkWhole(t, mustIssue(t, w.issuing, leafRequest(key.Public())).Chain)
	}
}

func TestAPreparedCertificateIsIssuedOnce(t *testing.T) {
	w := newWorld(t, issue.P256)
	p, err := w.issuing.Prepare(leafRequest(mustKey(t, issue.P384).Public()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.intermediate.Issue(t.Context(), p); err == nil {
		t.Error("another authority issued it")
	}
	var issued, spent atomic.Int32
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			switch _, err := w.issuing.Issue(t.Context(), p); {
			case err == nil:
				issued.Add(1)
			case errors.Is(err, issue.ErrSpent):
				spent.Add(1)
			}
		})
	}
	all.Wait()
	if issued.Load() != 1 || spent.Load() != 15 {
		t.Errorf("%d issued, %d refused as spent", issued.Load(), spent.Load())
	}
	for _, p := range []*issue.Prepared{nil, {}} {
		if _, err := w.issuing.Issue(t.Context(), p); err == nil {
			t.Error("issued what was not prepared")
		}
	}
}

// brokenKey signs wrongly when told to.
type brokenKey struct {
	crypto.Signer
	fail, lie bool
}

func (k *brokenKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.fail {
		return nil, errors.New("token removed")
	}
	if k.lie {
		digest = bytes.Repeat([]byte{7}, len(digest))
	}
	return k.Signer.Sign(r, digest, opts)
}

func TestAFailedIssueSpendsToo(t *testing.T) {
	w := newWorld(t, issue.P256)
	key := &brokenKey{Signer: mustKey(t, issue.P256)}
	a, err := w.intermediate.NewCA(t.Context(), issue.Request{
		Subject: subject("broken"), Serial: mustSerial(t), NotBefore: now, NotAfter: now.Add(year),
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	request := leafRequest(mustKey(t, issue.P384).Public())
	request.NotBefore = now
	for _, c := range []struct {
		name, want string
		key        brokenKey
	}{
		{"a key that fails", "token removed", brokenKey{Signer: key.Signer, fail: true}},
		{"a key that signs something else", "wrong signature", brokenKey{Signer: key.Signer, lie: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := a.Prepare(request)
			if err != nil {
				t.Fatal(err)
			}
			*key = c.key
			if _, err := a.Issue(t.Context(), p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			*key = brokenKey{Signer: key.Signer}
			if _, err := a.Issue(t.Context(), p); !errors.Is(err, issue.ErrSpent) {
				t.Errorf("second time: %v", err)
			}
		})
	}
	p, err := a.Prepare(request)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Issue(ended, p); !errors.Is(err, context.Canceled) {
		t.Errorf("after its caller has gone: %v", err)
	}
}

func TestAuthoritiesRefused(t *testing.T) {
	w := newWorld(t, issue.P256)
	rootKey := mustKey(t, issue.P384)
	root, err := issue.NewRoot(subject("Other Root"), rootKey, mustSerial(t), now, now.Add(year))
	if err != nil {
		t.Fatal(err)
	}
	// made is a CA below root, changed where issue would not.
	made := func(t *testing.T, change func(*x509.Certificate)) ([]*x509.Certificate, crypto.Signer) {
		key := mustKey(t, issue.P256)
		c := &x509.Certificate{
			SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "made"}, NotBefore: now, NotAfter: now.Add(day),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		change(c)
		der, err := x509.CreateCertificate(rand.Reader, c, root.Chain()[0], key.Public(), rootKey)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{cert, root.Chain()[0]}, key
	}
	for _, c := range []struct {
		name, want string
		build      func(t *testing.T) ([]*x509.Certificate, crypto.Signer)
	}{
		{"no certificate", "empty", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) { return nil, rootKey }},
		{"a nil certificate", "nil", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) { return []*x509.Certificate{nil}, rootKey }},
		{"no key", "no key", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) { return root.Chain(), nil }},
		{"another's key", "not the certificate's", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			return root.Chain(), mustKey(t, issue.P384)
		}},
		{"no root", "not self-issued", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			chain, key := made(t, func(*x509.Certificate) {})
			return chain[:1], key
		}},
		{"another root", "not issued by", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			chain, key := made(t, func(*x509.Certificate) {})
			return append(chain[:1:1], w.root.Chain()...), key
		}},
		{"a leaf", "no CA", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			return made(t, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
		}},
		{"no keyCertSign", "keyCertSign", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			return made(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
		}},
		{"no cRLSign", "cRLSign", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			return made(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
		}},
		{"for servers only", "other uses than code signing", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			return made(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		}},
		{"validity outside its root's", "no time", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			return made(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(2*year), now.Add(3*year) })
		}},
		{"Ed25519", "cannot be an authority's", func(t *testing.T) ([]*x509.Certificate, crypto.Signer) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return root.Chain(), key
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain, key := c.build(t)
			if _, err := issue.NewAuthority(chain, key); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	chain, key := made(t, func(*x509.Certificate) {})
	if _, err := issue.NewAuthority(chain, key); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	if _, err := root.Below(chain[0], key); err != nil {
		t.Errorf("below its root: %v", err)
	}
	if _, err := w.root.Below(chain[0], key); err == nil {
		t.Error("accepted below a root that did not issue it")
	}
	if _, err := root.Below(nil, key); err == nil {
		t.Error("accepted without certificate")
	}
}

func TestRootsRefused(t *testing.T) {
	key := mustKey(t, issue.P384)
	if _, err := issue.NewRoot(subject("r"), nil, mustSerial(t), now, now.Add(year)); err == nil {
		t.Error("no key")
	}
	if _, err := issue.NewRoot(issue.Subject{CommonName: "r"}, key, mustSerial(t), now, now.Add(year)); err == nil {
		t.Error("no country")
	}
	if _, err := issue.NewRoot(subject("r"), key, mustSerial(t), now, now); err == nil {
		t.Error("no validity")
	}
	if _, err := issue.NewRoot(subject("r"), key, nil, now, now.Add(year)); err == nil {
		t.Error("no serial number")
	}
	for _, kind := range []issue.KeyType{"", issue.RSA3072, "p521"} {
		if _, err := issue.NewKey(kind); err == nil {
			t.Errorf("made a key of type %q", kind)
		}
	}
}

func TestSerialNumbersHave16OctetsAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := mustSerial(t)
		if s.Sign() <= 0 || s.BitLen() != 127 {
			t.Fatalf("%x has %d bits", s, s.BitLen())
		}
		seen[s.String()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 differ", len(seen))
	}
}

// farKey is a key as sign.Key has it.
type farKey struct {
	key       crypto.Signer
	algorithm envelope.Algorithm
	short     bool
	asked     context.Context
}

func (k *farKey) Algorithm(context.Context) (envelope.Algorithm, error) { return k.algorithm, nil }

func (k *farKey) Sign(ctx context.Context, signed []byte) ([]byte, [][]byte, error) {
	if k.asked = ctx; ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	signature, err := k.algorithm.Sign(k.key, signed)
	if k.short {
		signature = signature[1:]
	}
	return signature, nil, err
}

func TestAKeyInHardwareIssuesAndRevokes(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa3072, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{mustKey(t, issue.P256), mustKey(t, issue.P384), p521, rsa3072} {
		algorithm, err := envelope.AlgorithmOf(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		t.Run(algorithm.String(), func(t *testing.T) {
			soft, err := issue.NewRoot(subject("Soft"), key, mustSerial(t), now.Add(-time.Hour), now.Add(year))
			if err != nil {
				t.Fatal(err)
			}
			far := &farKey{key: key, algorithm: algorithm}
			signer, err := issue.KeySigner(t.Context(), far, soft.Chain()[0])
			if err != nil {
				t.Fatal(err)
			}
			a, err := issue.NewAuthority(soft.Chain(), signer)
			if err != nil {
				t.Fatal(err)
			}
			checkWhole(t, mustIssue(t, a, leafRequest(mustKey(t, issue.P384).Public())).Chain)
			der, err := a.CRL(t.Context(), nil, big.NewInt(1), now, now.Add(day))
			if err != nil {
				t.Fatal(err)
			}
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := list.CheckSignatureFrom(a.Chain()[0]); err != nil {
				t.Error(err)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := a.CRL(ended, nil, big.NewInt(2), now, now.Add(day)); !errors.Is(err, context.Canceled) {
				t.Errorf("the key did not see its caller go: %v", err)
			}
			if _, err := signer.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err == nil {
				t.Error("signed a digest")
			}
			if _, isRSA := key.(*rsa.PrivateKey); isRSA {
				return
			}
			far.short = true
			if _, err := a.CRL(t.Context(), nil, big.NewInt(3), now, now.Add(day)); err == nil || !strings.Contains(err.Error(), "r||s") {
				t.Errorf("half a signature: %v", err)
			}
		})
	}
	root, err := issue.NewRoot(subject("Soft"), p521, mustSerial(t), now, now.Add(year))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issue.KeySigner(t.Context(), &farKey{algorithm: envelope.ES256}, root.Chain()[0]); err == nil {
		t.Error("took a key of another algorithm than its certificate's")
	}
	if _, err := issue.KeySigner(t.Context(), &farKey{algorithm: envelope.ES256}, nil); err == nil {
		t.Error("took a key without certificate")
	}
}

func TestChainsInPEM(t *testing.T) {
	chain := newWorld(t, issue.P256).issuing.Chain()
	text := issue.EncodeChain(chain)
	again, err := issue.ParseChain(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != 3 || !again[0].Equal(chain[0]) || !again[2].Equal(chain[2]) {
		t.Errorf("%d certificates came back", len(again))
	}
	key := "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "none found"},
		{"text", "hello", "no PEM"},
		{"text before it", "hello\n" + string(text), "no PEM"},
		{"text between them", string(text) + "hello\n" + string(text), "no PEM"},
		{"a malformed private key before it", strings.Replace(key, "AAAA", "A!A", 1) + string(text), "PRIVATE KEY"},
		{"a malformed private key between them", string(text) + strings.Replace(key, "AAAA", "A!A", 1) + string(text), "PRIVATE KEY"},
		{"a malformed certificate before it", "-----BEGIN CERTIFICATE-----\nA!A\n-----END CERTIFICATE-----\n" + string(text), "malformed PEM"},
		{"a certificate without its end", "-----BEGIN CERTIFICATE-----\nAAAA\n" + string(text), "malformed PEM"},
		{"text after it", string(text) + "hello", "no PEM"},
		{"a private key", key, "PRIVATE KEY"},
		{"a private key behind it", string(text) + key, "PRIVATE KEY"},
		{"a certificate that is none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed"},
		{"too many", strings.Repeat(string(text), 6), "more than"},
	} {
		if _, err := issue.ParseChain([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

const onePEM = `-----BEGIN CERTIFICATE-----
MIIBzTCCAXOgAwIBAgIURcI/28sK/JMh3ERVO4RxDe7vC/8wCgYIKoZIzj0EAwIw
OzELMAkGA1UEBhMCSlAxDjAMBgNVBAgMBVRva3lvMRAwDgYDVQQKDAdFeGFtcGxl
MQowCAYDVQQDDAFyMCAXDTI2MTEyMjA0MjI1M1oYDzIxMjYxMDI5MDQyMjUzWjA7
MQswCQYDVQQGEwJKUDEOMAwGA1UECAwFVG9reW8xEDAOBgNVBAoMB0V4YW1wbGUx
CjAIBgNVBAMMAXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATdfQ83IZ6MaZS0
FFv9ImLIzEwTqpBzSelN+8a29CDGOa56scA6ISKC1ihzev4ysR/RucQcVUZqy7Gw
noazF+Pio1MwUTAdBgNVHQ4EFgQUY7OWCfo/K+DISZtoeN4Fh9oXDEwwHwYDVR0j
BBgwFoAUY7OWCfo/K+DISZtoeN4Fh9oXDEwwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEAvdtpNh/5VMZi/bI51O2m2sQgrC//lt0BAsEmGqlrBagC
IFK1biB5anC/a7Ib1a/IQhC3zhOAsR3MZR4Fld2iwG86
-----END CERTIFICATE-----
`

func FuzzParseChain(f *testing.F) {
	f.Add([]byte(onePEM))
	f.Add([]byte(onePEM + onePEM))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		chain, err := issue.ParseChain(text)
		if err != nil {
			return
		}
		again, err := issue.ParseChain(issue.EncodeChain(chain))
		if err != nil || len(again) != len(chain) {
			t.Errorf("%d certificates came back as %d: %v", len(chain), len(again), err)
		}
	})
}
