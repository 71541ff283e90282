package file

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/scrypt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// ErrPassphrase: the key does not open with the passphrase. PBES2 has no check
// of its own, so that a damaged key looks the same.
var ErrPassphrase = errors.New("the passphrase is not the private key's, or the key is damaged")

// errEncryption is a key that is encrypted in another way than we read.
var errEncryption = &shuin.Error{
	Code:    shuin.CodeInvalidInput,
	Message: "the private key is encrypted in a way that is not supported: it takes PKCS#8 with PBES2, PBKDF2 with HMAC-SHA-256, -384 or -512 or scrypt, and AES-CBC",
	Hint:    "encrypt it again: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256",
}

var errEncrypted = errors.New("the encrypted private key is malformed")

// The algorithms of RFC 8018, appendix C, and of RFC 7914, section 7.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA384 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidAES128CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// derivation makes a key of size bytes of a passphrase.
type derivation func(passphrase []byte, size int) ([]byte, error)

// encryptedKey is an EncryptedPrivateKeyInfo (RFC 5958, section 3) that was
// read and found to be within limits; nothing was computed yet.
type encryptedKey struct {
	derive  derivation
	keySize int // bytes
	iv      []byte
	data    []byte
}

// parseEncrypted reads DER. What costs time or memory to open is bounded here.
func parseEncrypted(der []byte) (*encryptedKey, error) {
	in := cryptobyte.String(der)
	var info, data, kdf, scheme cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, errEncrypted
	}
	method, params, ok := readAlgorithm(&info)
	if !ok || !info.ReadASN1(&data, cbasn1.OCTET_STRING) || !info.Empty() {
		return nil, errEncrypted
	}
	if !method.Equal(oidPBES2) {
		return nil, errEncryption
	}
	if !params.ReadASN1(&kdf, cbasn1.SEQUENCE) || !params.Empty() {
		return nil, errEncrypted
	}
	derivedBy, derivedWith, ok := readAlgorithm(&kdf)
	if !ok {
		return nil, errEncrypted
	}
	cipherID, iv, ok := readAlgorithm(&kdf)
	if !ok || !kdf.Empty() {
		return nil, errEncrypted
	}
	k := &encryptedKey{data: data}
	switch {
	case cipherID.Equal(oidAES128CBC):
		k.keySize = 16
	case cipherID.Equal(oidAES192CBC):
		k.keySize = 24
	case cipherID.Equal(oidAES256CBC):
		k.keySize = 32
	default:
		return nil, errEncryption
	}
	if !iv.ReadASN1(&scheme, cbasn1.OCTET_STRING) || !iv.Empty() || len(scheme) != aes.BlockSize || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errEncrypted
	}
	k.iv = scheme
	var err error
	k.derive, err = parseDerivation(derivedBy, derivedWith, k.keySize)
	return k, err
}

// readAlgorithm reads an AlgorithmIdentifier and gives its parameters.
func readAlgorithm(in *cryptobyte.String) (id asn1.ObjectIdentifier, params cryptobyte.String, ok bool) {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&id) {
		return nil, nil, false
	}
	return id, seq, true
}

func parseDerivation(id asn1.ObjectIdentifier, params cryptobyte.String, size int) (derivation, error) {
	var seq cryptobyte.String
	switch {
	case !id.Equal(oidPBKDF2) && !id.Equal(oidScrypt):
		return nil, errEncryption
	case !params.ReadASN1(&seq, cbasn1.SEQUENCE) || !params.Empty():
		return nil, errEncrypted
	case id.Equal(oidScrypt):
		return parseScrypt(seq, size)
	}
	return parsePBKDF2(seq, size)
}

// parsePBKDF2 reads PBKDF2-params (RFC 8018, appendix A.2) with a salt of its own.
func parsePBKDF2(seq cryptobyte.String, size int) (derivation, error) {
	var salt cryptobyte.String
	var rounds int64
	if !seq.ReadASN1(&salt, cbasn1.OCTET_STRING) || !seq.ReadASN1Integer(&rounds) || !readSize(&seq, size) {
		return nil, errEncrypted
	}
	if seq.Empty() { // the default is HMAC-SHA-1
		return nil, errEncryption
	}
	prf, null, ok := readAlgorithm(&seq)
	if !ok || !seq.Empty() {
		return nil, errEncrypted
	}
	var none cryptobyte.String
	if !null.Empty() && (!null.ReadASN1(&none, cbasn1.NULL) || !none.Empty() || !null.Empty()) {
		return nil, errEncrypted
	}
	var h func() hash.Hash
	switch {
	case prf.Equal(oidHMACSHA256):
		h = sha256.New
	case prf.Equal(oidHMACSHA384):
		h = sha512.New384
	case prf.Equal(oidHMACSHA512):
		h = sha512.New
	default:
		return nil, errEncryption
	}
	switch {
	case rounds < 1 || len(salt) == 0:
		return nil, errEncrypted
	case rounds > limits.KeyIterations:
		return nil, tooMuch("%d rounds of PBKDF2 are more than %d (limit KeyIterations)", rounds, limits.KeyIterations)
	case len(salt) > limits.KeySaltBytes:
		return nil, tooMuch("a salt of %d bytes is longer than %d (limit KeySaltBytes)", len(salt), limits.KeySaltBytes)
	}
	return func(passphrase []byte, size int) ([]byte, error) {
		return pbkdf2.Key(h, string(passphrase), salt, int(rounds), size)
	}, nil
}

// parseScrypt reads scrypt-params (RFC 7914, section 7.1).
func parseScrypt(seq cryptobyte.String, size int) (derivation, error) {
	var salt cryptobyte.String
	var n, r, p int64
	if !seq.ReadASN1(&salt, cbasn1.OCTET_STRING) || !seq.ReadASN1Integer(&n) || !seq.ReadASN1Integer(&r) || !seq.ReadASN1Integer(&p) ||
		!readSize(&seq, size) || !seq.Empty() || n < 2 || n&(n-1) != 0 || r < 1 || p < 1 || len(salt) == 0 {
		return nil, errEncrypted
	}
	switch {
	case r > limits.KeyMemory/128/n:
		return nil, tooMuch("scrypt with N=%d and r=%d takes more than %d bytes (limit KeyMemory)", n, r, limits.KeyMemory)
	case p > limits.KeyParallel:
		return nil, tooMuch("scrypt with p=%d is more than %d (limit KeyParallel)", p, limits.KeyParallel)
	case len(salt) > limits.KeySaltBytes:
		return nil, tooMuch("a salt of %d bytes is longer than %d (limit KeySaltBytes)", len(salt), limits.KeySaltBytes)
	}
	return func(passphrase []byte, size int) ([]byte, error) {
		return scrypt.Key(passphrase, salt, int(n), int(r), int(p), size)
	}, nil
}

// readSize reads the optional length of the derived key, which has to be the cipher's.
func readSize(seq *cryptobyte.String, want int) bool {
	if !seq.PeekASN1Tag(cbasn1.INTEGER) {
		return true
	}
	var size int64
	return seq.ReadASN1Integer(&size) && size == int64(want)
}

func tooMuch(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: "open the encrypted private key: " + fmt.Sprintf(format, args...),
		Hint: "encrypt it again: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256"}
}

// open decrypts to PKCS#8 DER. Who has it clears it.
func (k *encryptedKey) open(passphrase []byte) ([]byte, error) {
	key, err := k.derive(passphrase, k.keySize)
	if err != nil {
		return nil, errEncrypted
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errEncrypted
	}
	plain := make([]byte, len(k.data))
	cipher.NewCBCDecrypter(block, k.iv).CryptBlocks(plain, k.data)
	// Padding (RFC 8018, section 6.1.1). A file is opened once by its owner:
	// there is no oracle to feed.
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		clear(plain)
		return nil, ErrPassphrase
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			clear(plain)
			return nil, ErrPassphrase
		}
	}
	return plain[:len(plain)-pad], nil
}
