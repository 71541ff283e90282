package age

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/shuin/shuin/internal/limits"
)

const pkcs8 = "PRIVATE KEY"

// NewIdentity makes an identity and writes it to path, which must not exist,
// readable by its owner alone.
func NewIdentity(path string) (*Identity, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("new age identity: %w", err)
	}
	text := fmt.Sprintf("# public key: %s\n%s\n", key.Recipient(), key)
	if err := writeNew(path, []byte(text)); err != nil {
		return nil, fmt.Errorf("new age identity: %w", err)
	}
	return &Identity{keys: []*age.X25519Identity{key}}, nil
}

// LoadIdentity reads an identity file. One that others may read, that belongs
// to another user than root and this process's, or that everybody could
// replace is refused: a file of root's that this process's group may read, as
// secrets are mounted in containers, is not.
func LoadIdentity(path string) (*Identity, error) {
	text, err := read(path, limits.SecretBytes, true)
	if err != nil {
		return nil, fmt.Errorf("load age identity: %w", err)
	}
	i, err := ParseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return i, nil
}

// WriteKey encrypts key as PKCS#8 in PEM to lock and writes it, armored, to
// path, whole or not at all. A file that exists is never replaced: it may be a
// CA's only key. `age -d` opens it too.
func WriteKey(path string, key crypto.Signer, lock *Lock) error {
	marshal := func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(key) }
	if held, ok := key.(*privateKey); ok {
		marshal = held.MarshalPKCS8
	}
	der, err := marshal()
	if err != nil {
		return fmt.Errorf("write key %s: it cannot be encoded: %w", path, err)
	}
	sealed, err := encrypt(pem.EncodeToMemory(&pem.Block{Type: pkcs8, Bytes: der}), lock.recipient, true)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, err)
	}
	if err := writeNew(path, sealed); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

// LoadKey reads a file that WriteKey, or age with the same content, made. The
// key signs and does not print. Errors are or wrap [ErrWrongKey], [ErrDamaged],
// [ErrTooMuchWork] or the file system's.
func LoadKey(path string, lock *Lock) (crypto.Signer, error) {
	sealed, err := read(path, limits.KeyFileBytes, false)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	key, err := OpenKey(sealed, lock)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", path, err)
	}
	return key, nil
}

// OpenKey is LoadKey for a file's content.
func OpenKey(sealed []byte, lock *Lock) (crypto.Signer, error) {
	if err := checkEncrypted(sealed); err != nil {
		return nil, err
	}
	text, err := lock.decrypt(bytes.TrimSpace(sealed), limits.SecretBytes)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pkcs8 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("what it holds is not one PKCS#8 private key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key inside is malformed")
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return &privateKey{k}, nil
	case *rsa.PrivateKey:
		return &privateKey{k}, nil
	}
	return nil, fmt.Errorf("the private key inside is of type %T (ECDSA or RSA)", key)
}

// checkEncrypted tells a file that age made from what is taken for one.
func checkEncrypted(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.HasPrefix(data, []byte("age-encryption.org/")) || bytes.HasPrefix(data, []byte(armor.Header)) {
		return nil
	}
	block, _ := pem.Decode(data)
	switch {
	case block != nil && block.Type == "CERTIFICATE":
		return errors.New("this is a certificate; want a private key encrypted with age")
	case block != nil:
		return errors.New("this is a private key that is not encrypted with age: encrypt it, and think of it as seen by others")
	case bytes.HasPrefix(data, []byte(identityPrefix)) || bytes.HasPrefix(data, []byte("# ")):
		return errors.New("this is an age identity; want a private key encrypted to it")
	}
	return errors.New("this is not encrypted with age")
}

// privateKey signs and does not print.
type privateKey struct{ crypto.Signer }

// MarshalPKCS8 is the key as PKCS#8 in DER, for sealing it elsewhere.
func (k *privateKey) MarshalPKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.Signer) }

func (k *privateKey) String() string {
	switch pub := k.Public().(type) {
	case *ecdsa.PublicKey:
		return "private key (" + pub.Params().Name + ")"
	case *rsa.PublicKey:
		return fmt.Sprintf("private key (RSA-%d)", pub.N.BitLen())
	}
	return "private key"
}

// Format prints what String does, whatever the verb.
func (k *privateKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue keeps the key out of logs.
func (k *privateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// read reads a regular file; a symlink to one is followed, since secrets are
// often mounted so. A private one must be closed to others.
func read(path string, limit int, private bool) ([]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if private {
		if err := checkPrivate(path, info); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}

// writeNew makes path with data, durable and whole, or fails; it replaces
// nothing. A crash leaves at most a temporary file beside it.
func writeNew(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600, O_EXCL
	if err != nil {
		return err
	}
	defer func() {
		if removed := os.Remove(f.Name()); err == nil && removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			err = removed
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	// A link, not a rename: it fails where path exists.
	if err = os.Link(f.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already and is not replaced", path)
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // has no such thing
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}
