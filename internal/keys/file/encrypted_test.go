package file

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
)

const passphrase = "correct horse"

func answer(s string) Passphrase { return func() ([]byte, error) { return []byte(s), nil } }

// unasked fails the test when the passphrase is asked for.
func unasked(t *testing.T) Passphrase {
	return func() ([]byte, error) {
		t.Error("the passphrase was asked for")
		return []byte(passphrase), nil
	}
}

func testdata(name string) string { return filepath.Join("testdata", name) }

func TestAnEncryptedKeySigns(t *testing.T) {
	for _, name := range []string{"aes256-sha256", "aes192-sha384", "aes128-sha512", "scrypt"} {
		t.Run(name, func(t *testing.T) {
			k, err := LoadEncrypted(testdata(name+".key"), testdata("encrypted.crt"), answer(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			signed := []byte("to be signed")
			sig, _, err := k.Sign(t.Context(), signed)
			if err != nil {
				t.Fatal(err)
			}
			certs, err := k.Certificates()
			if err != nil {
				t.Fatal(err)
			}
			if err := envelope.ES256.VerifySignature(certs[0].PublicKey, signed, sig); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnEncryptedKeyIsRefusedWith(t *testing.T) {
	ended := errors.New("the terminal went away")
	tests := []struct {
		name, key string
		ask       Passphrase
		want      string
		is        error
	}{
		{"another passphrase", "aes256-sha256", answer("battery staple"), "the passphrase is not the private key's, or the key is damaged", ErrPassphrase},
		{"another passphrase for scrypt", "scrypt", answer("battery staple"), "the passphrase is not the private key's", ErrPassphrase},
		{"a line break that belongs to no passphrase", "aes256-sha256", answer(passphrase + "\n"), "the passphrase is not the private key's", ErrPassphrase},
		{"an empty passphrase", "aes256-sha256", answer(""), "the passphrase is empty", nil},
		{"no way to ask", "aes256-sha256", nil, "is encrypted, which is not supported", nil},
		{"an asking that failed", "aes256-sha256", func() ([]byte, error) { return nil, ended }, "went away", ended},
		{"HMAC-SHA-1, before anybody is asked", "sha1", unasked(t), "in a way that is not supported", errEncryption},
		{"3DES", "des3", unasked(t), "in a way that is not supported", errEncryption},
		{"PBES1", "pbes1", unasked(t), "in a way that is not supported", errEncryption},
		{"the older form of OpenSSL", "older", unasked(t), "in a way that is not supported", errEncryption},
		{"rounds without end", "rounds", unasked(t), "10000001 rounds of PBKDF2 are more than 10000000 (limit KeyIterations)", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := testdata(tt.key + ".key")
			k, err := LoadEncrypted(path, testdata("encrypted.crt"), tt.ask)
			if err == nil || k != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput && c != shuin.CodeLimit {
				t.Errorf("code %s", c)
			}
			text, err2 := os.ReadFile(path)
			if err2 != nil {
				t.Fatal(err2)
			}
			wantNoKey(t, fmt.Sprintf("%v %+v %#v", err, err, err), text)
			if strings.Contains(err.Error(), "battery") {
				t.Errorf("the passphrase in %q", err)
			}
		})
	}
}

// scryptKey is an EncryptedPrivateKeyInfo with these numbers, and nothing in it.
func scryptKey(t *testing.T, n, r, p, size int64, salt int) []byte {
	t.Helper()
	var b cryptobyte.Builder
	algorithm := func(b *cryptobyte.Builder, id asn1.ObjectIdentifier, params func(*cryptobyte.Builder)) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(id)
			params(b)
		})
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		algorithm(b, oidPBES2, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				algorithm(b, oidScrypt, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(make([]byte, salt))
						for _, v := range []int64{n, r, p, size} {
							if v != 0 {
								b.AddASN1Int64(v)
							}
						}
					})
				})
				algorithm(b, oidAES256CBC, func(b *cryptobyte.Builder) { b.AddASN1OctetString(make([]byte, 16)) })
			})
		})
		b.AddASN1OctetString(make([]byte, 32))
	})
	return b.BytesOrPanic()
}

func TestScryptIsBoundedBeforeItIsComputed(t *testing.T) {
	tests := []struct {
		name            string
		n, r, p, length int64
		salt            int
		want            string // empty: read
	}{
		{"openssl's numbers", 16384, 8, 1, 0, 8, ""},
		{"the cipher's key length", 16384, 8, 1, 32, 8, ""},
		{"another key length", 16384, 8, 1, 16, 8, "malformed"},
		{"the most memory", 1 << 18, 8, 1, 0, 8, ""},
		{"more memory", 1 << 19, 8, 1, 0, 8, "limit KeyMemory"},
		{"N that overflows", 1 << 62, 1, 1, 0, 8, "limit KeyMemory"},
		{"r that overflows", 2, 1 << 62, 1, 0, 8, "limit KeyMemory"},
		{"p without end", 2, 1, 17, 0, 8, "limit KeyParallel"},
		{"a salt without end", 2, 1, 1, 0, 1025, "limit KeySaltBytes"},
		{"no salt", 2, 1, 1, 0, 0, "malformed"},
		{"N that is no power of two", 3, 1, 1, 0, 8, "malformed"},
		{"N of one", 1, 1, 1, 0, 8, "malformed"},
		{"a negative r", 2, -1, 1, 0, 8, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseEncrypted(scryptKey(t, tt.n, tt.r, tt.p, tt.length, tt.salt))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAKeyCutAnywhereIsMalformed(t *testing.T) {
	der := derOf(t, "aes256-sha256")
	for n := range der {
		if _, err := parseEncrypted(der[:n]); err == nil {
			t.Errorf("%d of %d bytes were read", n, len(der))
		}
	}
	if _, err := parseEncrypted(append(bytes.Clone(der), 0)); err == nil {
		t.Error("a byte behind it was passed over")
	}
}

func derOf(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(testdata(name + ".key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	return block.Bytes
}

func FuzzEncryptedKey(f *testing.F) {
	for _, name := range []string{"aes256-sha256", "aes192-sha384", "aes128-sha512", "scrypt", "sha1", "des3", "pbes1", "rounds"} {
		f.Add(derOf(f, name))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		k, err := parseEncrypted(der)
		if (k == nil || k.derive == nil) != (err != nil) && err == nil {
			t.Fatal("neither a key nor an error")
		}
		if err == nil {
			// What is computed is bounded above; here only the last step runs.
			k.derive = func(_ []byte, size int) ([]byte, error) { return make([]byte, size), nil }
			if plain, err := k.open([]byte("x")); err == nil && len(plain) >= len(k.data) {
				t.Fatalf("%d bytes out of %d", len(plain), len(k.data))
			}
		}
	})
}
