package file

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
)

func TestParseCompletesTheChain(t *testing.T) {
	c, other := chain(shuintest.P256), shuintest.MustChain(shuintest.ChainOptions{Length: 3, Family: 7})
	key := c.KeyPEM()
	leaf, ca, root := shuintest.CertsPEM(c.Certs[0]), shuintest.CertsPEM(c.Certs[1]), shuintest.CertsPEM(c.Certs[2])
	tests := []struct {
		name  string
		text  [][]byte
		files [][]byte
	}{
		{"key and chain, leaf first", [][]byte{key, leaf, ca, root}, nil},
		{"chain before the key", [][]byte{leaf, ca, root, key}, nil},
		{"root first", [][]byte{key, root, ca, leaf}, nil},
		{"certificates twice", [][]byte{key, leaf, leaf, ca, root, ca}, nil},
		{"certificates of others", [][]byte{key, other.PEM(), root, leaf, ca}, nil},
		{"the chain in a file", [][]byte{key}, [][]byte{c.PEM()}},
		{"leaf behind the key, the rest in two files", [][]byte{key, leaf}, [][]byte{root, ca}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var paths []string
			for _, f := range tt.files {
				paths = append(paths, write(t, "c.crt", f))
			}
			k, err := Parse("the variable KEY", slices.Concat(tt.text...), paths, unasked(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.DER, k.chain); diff != "" {
				t.Error(diff)
			}
			if got, err := ChainOf(k.ChainPEM()); err != nil || string(got) != string(c.PEM()) {
				t.Errorf("ChainPEM: %v", err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	c, other := chain(shuintest.P256), shuintest.MustChain(shuintest.ChainOptions{Length: 3, Family: 7})
	key := c.KeyPEM()
	pem := func(certs ...*x509.Certificate) []byte { return shuintest.CertsPEM(certs...) }
	tests := []struct {
		name  string
		text  [][]byte
		files [][]byte
		want  string
	}{
		{"a key without certificates", [][]byte{key}, nil, "there is no certificate with it"},
		{"certificates of another key", [][]byte{key, other.PEM()}, nil, "none of the 3 certificates belongs to the private key"},
		{"a chain without its middle", [][]byte{key, pem(c.Certs[0], c.Certs[2])}, nil, fmt.Sprintf("the certificate of %q, which issued %q, is missing", c.Certs[1].Subject, c.Certs[0].Subject)},
		{"a chain without its root", [][]byte{key, pem(c.Certs[0], c.Certs[1])}, nil, fmt.Sprintf("the certificate of %q, which issued %q, is missing", c.Certs[2].Subject, c.Certs[1].Subject)},
		{"certificates without a key", [][]byte{c.PEM()}, nil, "it holds a certificate, not a private key"},
		{"no PEM", [][]byte{[]byte("secret")}, nil, "it holds no PEM private key"},
		{"a file without certificates", [][]byte{key}, [][]byte{[]byte("x")}, "it holds no PEM certificate"},
		{"a broken certificate", [][]byte{key, block("CERTIFICATE", c.DER[0][:40])}, nil, "certificate 1:"},
		{"certificates without end", [][]byte{key, slices.Concat(slices.Repeat([][]byte{c.PEM()}, 22)...)}, nil, "more than 64 certificates (limit KeyCertificates)"},
		{"text without end", [][]byte{make([]byte, 1<<20+1)}, nil, "limit KeyFileBytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var paths []string
			for _, f := range tt.files {
				paths = append(paths, write(t, "c.crt", f))
			}
			text := slices.Concat(tt.text...)
			k, err := Parse("the variable KEY", text, paths, unasked(t))
			if err == nil || k != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			if !strings.Contains(err.Error(), "the variable KEY") && len(paths) == 0 {
				t.Errorf("%q does not say where", err)
			}
			if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput && c != shuin.CodeLimit {
				t.Errorf("code %s", c)
			}
			wantNoKey(t, fmt.Sprintf("%v %+v %#v", err, err, err), key)
		})
	}
}
