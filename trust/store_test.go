package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// keys are shared by all tests of the package.
var keys = sync.OnceValue(func() [3]*ecdsa.PrivateKey {
	var k [3]*ecdsa.PrivateKey
	for i := range k {
		var err error
		if k[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			panic(err)
		}
	}
	return k
})

// certificate makes one for keys()[key], signed by parent (nil: itself) with keys()[signer].
func certificate(t *testing.T, cn string, ca bool, key int, parent *x509.Certificate, signer int) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ca {
		template.KeyUsage, template.IsCA, template.BasicConstraintsValid = x509.KeyUsageCertSign, true, true
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, keys()[key].Public(), keys()[signer])
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewStoreTakesOnlyAnchors(t *testing.T) {
	root := certificate(t, "root", true, 0, nil, 0)
	intermediate := certificate(t, "intermediate", true, 1, root, 0)
	leaf := certificate(t, "leaf", false, 2, root, 0)
	selfSigned := certificate(t, "self", false, 2, nil, 2)
	// Issued under its own name, but signed by another key.
	liar := certificate(t, "self", false, 2, certificate(t, "self", false, 1, nil, 1), 1)
	pin := [][sha256.Size]byte{sha256.Sum256(root.Raw)}
	tests := []struct {
		name  string
		store StoreName
		certs []*x509.Certificate
		pins  [][sha256.Size]byte
		want  string // part of the error; empty: no error
	}{
		{"TS-01 root", StoreName{CA, "acme"}, []*x509.Certificate{root}, nil, ""},
		{"TS-01 intermediate CA, which pins it", StoreName{CA, "acme"}, []*x509.Certificate{intermediate}, nil, ""},
		{"TS-01 self-signed leaf", StoreName{CA, "acme"}, []*x509.Certificate{selfSigned}, nil, ""},
		{"TS-01 self-signed leaf for a signing authority", StoreName{SigningAuthority, "acme"}, []*x509.Certificate{selfSigned}, nil, ""},
		{"TS-01 leaf of a CA", StoreName{CA, "acme"}, []*x509.Certificate{leaf}, nil, "not a CA certificate or self-signed"},
		{"TS-01 leaf that only claims to be self-signed", StoreName{CA, "acme"}, []*x509.Certificate{liar}, nil, "not a CA certificate or self-signed"},
		{"TS-01 one bad certificate spoils the store", StoreName{CA, "acme"}, []*x509.Certificate{root, leaf}, nil, `"CN=leaf"`},
		{"TS-01 tsa root", StoreName{TSA, "acme"}, []*x509.Certificate{root}, nil, ""},
		{"TS-01 tsa intermediate", StoreName{TSA, "acme"}, []*x509.Certificate{intermediate}, nil, "not a root CA certificate"},
		{"TS-01 tsa self-signed leaf", StoreName{TSA, "acme"}, []*x509.Certificate{selfSigned}, nil, "not a root CA certificate"},
		{"pins alone", StoreName{SigningAuthority, "acme"}, nil, pin, ""},
		{"nothing", StoreName{CA, "acme"}, nil, nil, "no x509 certificates"},
		{"unknown type", StoreName{"other", "acme"}, []*x509.Certificate{root}, nil, "unsupported trust store type"},
		{"name with a slash", StoreName{CA, "a/b"}, []*x509.Certificate{root}, nil, "format"},
		{"name that leads out", StoreName{CA, ".."}, []*x509.Certificate{root}, nil, "format"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := NewStore(tt.store, tt.certs, tt.pins)
			checkError(t, err, tt.want)
			if err == nil && (s.Name() != tt.store || len(s.Certificates()) != len(tt.certs)) {
				t.Errorf("store is %v with %d certificates", s.Name(), len(s.Certificates()))
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("error %v, want none", err)
	case want != "" && err == nil:
		t.Fatalf("no error, want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Fatalf("error %q, want %q in it", err, want)
	}
}

func TestAnchorsComparesWholeCertificates(t *testing.T) {
	root := certificate(t, "root", true, 0, nil, 0)
	twin := certificate(t, "root", true, 0, nil, 0) // same name and key, another certificate
	intermediate := certificate(t, "intermediate", true, 1, root, 0)
	leaf := certificate(t, "leaf", false, 2, intermediate, 1)
	chain := [][]byte{leaf.Raw, intermediate.Raw, root.Raw}
	store := func(certs []*x509.Certificate, pins ...[sha256.Size]byte) *Store {
		s, err := NewStore(StoreName{CA, "acme"}, certs, pins)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	other := certificate(t, "other", true, 1, nil, 1)
	tests := []struct {
		name  string
		store *Store
		chain [][]byte
		want  int
	}{
		{"VER-03 root in store", store([]*x509.Certificate{root}), chain, 2},
		{"VER-03 intermediate in store", store([]*x509.Certificate{intermediate}), chain, 1},
		{"VER-03 both in store: the lower one", store([]*x509.Certificate{root, intermediate}), chain, 1},
		{"VER-03 same name and key but another certificate", store([]*x509.Certificate{twin}), chain, -1},
		{"VER-03 foreign root", store([]*x509.Certificate{other}), chain, -1},
		{"VER-03 empty chain", store([]*x509.Certificate{root}), nil, -1},
		{"root pinned", store(nil, sha256.Sum256(root.Raw)), chain, 2},
		{"root pinned beside another certificate", store([]*x509.Certificate{other}, sha256.Sum256(root.Raw)), chain, 2},
		{"pin of an intermediate does not anchor", store(nil, sha256.Sum256(intermediate.Raw)), chain, -1},
		{"pinned root missing from the chain", store(nil, sha256.Sum256(root.Raw)), chain[:2], -1},
		{"pins and an empty chain", store(nil, sha256.Sum256(root.Raw)), nil, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.store.Anchors(tt.chain); got != tt.want {
				t.Errorf("Anchors = %d, want %d", got, tt.want)
			}
			if n := testing.AllocsPerRun(10, func() { tt.store.Anchors(tt.chain) }); n > 0 {
				t.Errorf("Anchors allocates %v times", n)
			}
		})
	}
}

func TestHashFollowsContentNotOrder(t *testing.T) {
	a, b := certificate(t, "a", true, 0, nil, 0), certificate(t, "b", true, 1, nil, 1)
	hash := func(n StoreName, certs []*x509.Certificate, pins ...[sha256.Size]byte) [sha256.Size]byte {
		s, err := NewStore(n, certs, pins)
		if err != nil {
			t.Fatal(err)
		}
		return s.Hash()
	}
	ca, sa := StoreName{CA, "x"}, StoreName{SigningAuthority, "x"}
	both := hash(ca, []*x509.Certificate{a, b})
	if hash(ca, []*x509.Certificate{b, a}) != both {
		t.Error("the order of certificates changes the hash")
	}
	pin := sha256.Sum256(a.Raw)
	for name, h := range map[string][sha256.Size]byte{
		"another type":        hash(sa, []*x509.Certificate{a, b}),
		"another name":        hash(StoreName{CA, "y"}, []*x509.Certificate{a, b}),
		"fewer certificates":  hash(ca, []*x509.Certificate{a}),
		"a pin, not the cert": hash(ca, []*x509.Certificate{b}, pin),
		"a pin more":          hash(ca, []*x509.Certificate{a, b}, pin),
	} {
		if h == both {
			t.Errorf("%s has the same hash", name)
		}
	}
}

func TestBuiltInStoresPinAWSRoots(t *testing.T) {
	for name, print := range map[string]string{
		"aws-signer-ts":        "90a87d0543c3f094dbff9589b6649affe2f3d6e0f308799be2258461c686473f",
		"aws-us-gov-signer-ts": "673653ab76f41a10546cdeb4107ecd6df2c15c2c9a0d32ed97d271b4436fc3e8",
	} {
		s, ok := BuiltIn(StoreName{SigningAuthority, name})
		if !ok {
			t.Fatalf("no built-in store %s", name)
		}
		if len(s.pinned) != 1 || hex.EncodeToString(s.pinned[0][:]) != print {
			t.Errorf("%s pins %x, want %s", name, s.pinned, print)
		}
		if got := s.Anchors([][]byte{[]byte("leaf"), []byte("not the root")}); got != -1 {
			t.Errorf("%s anchors a stranger", name)
		}
		if _, ok := BuiltIn(StoreName{CA, name}); ok {
			t.Errorf("SCH-05 %s is offered as a ca store", name)
		}
	}
	if _, ok := BuiltIn(StoreName{SigningAuthority, "acme"}); ok {
		t.Error("a built-in store for any name")
	}
}

func TestParseStoreName(t *testing.T) {
	for in, want := range map[string]string{
		"ca:acme-rockets_1.0":            "",
		"signingAuthority:aws-signer-ts": "",
		"tsa:x":                          "",
		"*":                              "The required format is <TrustStoreType>:<TrustStoreName>",
		"":                               "The required format is",
		"CA:acme":                        `an unsupported trust store type "CA" in trust store value "CA:acme"`,
		"signingauthority:acme":          "unsupported trust store type",
		"ca:":                            `an unsupported trust store name "" in trust store value "ca:". Named store name needs to follow [a-zA-Z0-9_.-]+ format`,
		"ca:a b":                         "unsupported trust store name",
		"ca:..":                          "unsupported trust store name",
		"ca:.":                           "unsupported trust store name",
		"ca:a/../b":                      "unsupported trust store name",
		"ca:a:b":                         "unsupported trust store name",
	} {
		t.Run("TP-02 "+in, func(t *testing.T) {
			n, err := ParseStoreName(in)
			checkError(t, err, want)
			if err == nil && n.String() != in {
				t.Errorf("String = %q", n.String())
			}
			if err != nil && errors.Is(err, ErrMalformedStoreName) == strings.Contains(in, ":") {
				t.Errorf("ErrMalformedStoreName in %v", err)
			}
		})
	}
}

func TestNewStoreKeepsItsOwnCopies(t *testing.T) {
	root := certificate(t, "root", true, 0, nil, 0)
	certs := []*x509.Certificate{root}
	pins := [][sha256.Size]byte{{1}}
	s, err := NewStore(StoreName{CA, "x"}, certs, pins)
	if err != nil {
		t.Fatal(err)
	}
	certs[0], pins[0] = nil, [sha256.Size]byte{2}
	if s.Certificates()[0] != root || !bytes.Equal(s.pinned[0][:1], []byte{1}) {
		t.Error("the caller's slices are shared")
	}
}
