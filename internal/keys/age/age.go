// Package age keeps keys at rest in files encrypted with age (filippo.io/age),
// and seals small secrets for a store. It makes and judges no certificates,
// knows no environment variable and asks nobody for a passphrase: it is handed
// one. No error and no way of printing shows a secret.
package age

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/shuin/shuin/internal/limits"
)

// ErrWrongKey: the identity or passphrase is not the one it was encrypted to.
var ErrWrongKey = errors.New("encrypted to another identity or passphrase")

// ErrDamaged: encrypted, but changed or cut since.
var ErrDamaged = errors.New("encrypted file is damaged")

// ErrTooMuchWork: opening it would cost more than is allowed.
var ErrTooMuchWork = errors.New("encrypted with too large a work factor")

// Identity is an age identity (X25519) read from a file. Its first key seals;
// all of them open, so that one can be replaced by another. Immutable; safe
// for concurrent use. It satisfies signing.Sealer.
type Identity struct {
	keys []*age.X25519Identity
}

// Lock is what a key file is encrypted with: an identity or a passphrase.
type Lock struct {
	recipient  age.Recipient
	identities []age.Identity
	passphrase bool
}

const (
	identityPrefix = "AGE-SECRET-KEY-1"
	maxIdentities  = 16
	// What encryption adds to a small plaintext, armor and header included, is
	// under this and half the plaintext.
	overhead = 4 << 10
	// workFactor is age's own: a second, a quarter of a gigabyte. maxWorkFactor
	// bounds what opening a file may cost.
	workFactor, maxWorkFactor = 18, 20
)

// ParseIdentity reads an identity file: lines, of which those that begin with
// # are comments, and the others are X25519 secret keys.
func ParseIdentity(text []byte) (*Identity, error) {
	if len(text) > limits.SecretBytes {
		return nil, fmt.Errorf("age identity: larger than %d bytes", limits.SecretBytes)
	}
	i := &Identity{}
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "-----BEGIN "):
			return nil, errors.New("age identity: this is a PEM or encrypted file; want lines of AGE-SECRET-KEY-1…")
		case strings.HasPrefix(line, "age1"):
			return nil, fmt.Errorf("age identity: line %d is a public key; want AGE-SECRET-KEY-1…", n+1)
		case !strings.HasPrefix(line, identityPrefix):
			return nil, fmt.Errorf("age identity: line %d is not an X25519 secret key (AGE-SECRET-KEY-1…)", n+1)
		case len(i.keys) == maxIdentities:
			return nil, fmt.Errorf("age identity: more than %d keys", maxIdentities)
		}
		key, err := age.ParseX25519Identity(line)
		if err != nil {
			// err may quote what it could not read.
			return nil, fmt.Errorf("age identity: the secret key in line %d is malformed", n+1)
		}
		i.keys = append(i.keys, key)
	}
	if len(i.keys) == 0 {
		return nil, errors.New("age identity: no secret key found (AGE-SECRET-KEY-1…)")
	}
	return i, nil
}

// Recipient is the public half of the first key: age1….
func (i *Identity) Recipient() string { return i.keys[0].Recipient().String() }

// Lock is i as what a key file is encrypted with.
func (i *Identity) Lock() *Lock {
	l := &Lock{recipient: i.keys[0].Recipient()}
	for _, k := range i.keys {
		l.identities = append(l.identities, k)
	}
	return l
}

// Passphrase is a lock of one passphrase; a line end after it is not part of
// it. Opening and closing it takes a second and 256 MB, by design.
func Passphrase(secret []byte) (*Lock, error) { return passphrase(secret, workFactor) }

func passphrase(secret []byte, work int) (*Lock, error) {
	if len(secret) > limits.SecretBytes {
		return nil, fmt.Errorf("passphrase is larger than %d bytes", limits.SecretBytes)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(secret), "\n"), "\r")
	if text == "" {
		return nil, errors.New("passphrase is empty")
	}
	recipient, err := age.NewScryptRecipient(text)
	if err != nil {
		return nil, errors.New("passphrase cannot be used")
	}
	identity, err := age.NewScryptIdentity(text)
	if err != nil {
		return nil, errors.New("passphrase cannot be used")
	}
	recipient.SetWorkFactor(work)
	identity.SetMaxWorkFactor(max(work, maxWorkFactor))
	return &Lock{recipient: recipient, identities: []age.Identity{bounded{identity, max(work, maxWorkFactor)}}, passphrase: true}, nil
}

// bounded is an identity that tells a work factor it does not take from
// damage.
type bounded struct {
	*age.ScryptIdentity
	most int
}

func (b bounded) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != "scrypt" || len(s.Args) != 2 {
			continue
		}
		if factor, err := strconv.Atoi(s.Args[1]); err == nil && factor > b.most {
			return nil, fmt.Errorf("%w: %d, at most %d is taken; encrypt it again with less", ErrTooMuchWork, factor, b.most)
		}
	}
	return b.ScryptIdentity.Unwrap(stanzas)
}

// Seal encrypts a secret of at most limits.SecretBytes for a store.
func (i *Identity) Seal(plain []byte) ([]byte, error) {
	if len(plain) > limits.SecretBytes {
		return nil, fmt.Errorf("seal: secret of %d bytes, limit %d", len(plain), limits.SecretBytes)
	}
	sealed, err := encrypt(plain, i.keys[0].Recipient(), false)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return sealed, nil
}

// Open is Seal's reverse. The error is or wraps [ErrWrongKey] or [ErrDamaged].
func (i *Identity) Open(sealed []byte) ([]byte, error) {
	plain, err := i.Lock().decrypt(sealed, limits.SecretBytes)
	if err != nil {
		return nil, fmt.Errorf("open sealed secret: %w", err)
	}
	return plain, nil
}

func encrypt(plain []byte, to age.Recipient, armored bool) ([]byte, error) {
	var out bytes.Buffer
	var dst io.WriteCloser = nopCloser{&out}
	if armored {
		dst = armor.NewWriter(&out)
	}
	w, err := age.Encrypt(dst, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := dst.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// decrypt opens what age encrypted, armored or not, of at most limit bytes.
func (l *Lock) decrypt(sealed []byte, limit int) ([]byte, error) {
	if len(sealed) > limit+limit/2+overhead {
		return nil, fmt.Errorf("%d bytes are too much, limit %d", len(sealed), limit+limit/2+overhead)
	}
	var src io.Reader = bytes.NewReader(sealed)
	if bytes.HasPrefix(sealed, []byte(armor.Header)) {
		src = armor.NewReader(src)
	}
	r, err := age.Decrypt(src, l.identities...)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, l.mismatch(none)
	case errors.Is(err, ErrTooMuchWork):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case len(plain) > limit:
		return nil, fmt.Errorf("more than %d bytes inside", limit)
	}
	return plain, nil
}

// mismatch says which kind of key would open it, where that differs.
func (l *Lock) mismatch(err *age.NoIdentityMatchError) error {
	needsPassphrase := len(err.StanzaTypes) == 1 && err.StanzaTypes[0] == "scrypt"
	switch {
	case needsPassphrase && !l.passphrase:
		return fmt.Errorf("%w: it needs a passphrase, not an identity", ErrWrongKey)
	case !needsPassphrase && l.passphrase:
		return fmt.Errorf("%w: it needs an identity, not a passphrase", ErrWrongKey)
	case l.passphrase:
		return fmt.Errorf("%w: the passphrase is wrong", ErrWrongKey)
	}
	return ErrWrongKey
}

// String names the public key.
func (i *Identity) String() string {
	if i == nil || len(i.keys) == 0 {
		return "age identity"
	}
	return "age identity of " + i.Recipient()
}

// Format prints what String does, whatever the verb.
func (i *Identity) Format(f fmt.State, _ rune) { io.WriteString(f, i.String()) }

// LogValue keeps the key out of logs.
func (i *Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

// String does not show the passphrase.
func (l *Lock) String() string {
	if l != nil && l.passphrase {
		return "passphrase"
	}
	return "age identity"
}

// Format prints what String does, whatever the verb.
func (l *Lock) Format(f fmt.State, _ rune) { io.WriteString(f, l.String()) }

// LogValue keeps the key out of logs.
func (l *Lock) LogValue() slog.Value { return slog.StringValue(l.String()) }
