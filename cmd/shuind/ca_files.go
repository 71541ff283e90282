package main

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

// caFiles are the files of the CA in the data directory.
type caFiles struct{ dir string }

func (c *config) caFiles() caFiles { return caFiles{filepath.Join(c.Data, "ca")} }

func (f caFiles) root() string            { return filepath.Join(f.dir, "root.pem") }
func (f caFiles) rootKey() string         { return filepath.Join(f.dir, "root.key.age") }
func (f caFiles) intermediate() string    { return filepath.Join(f.dir, "intermediate.pem") } // the chain, root last
func (f caFiles) intermediateKey() string { return filepath.Join(f.dir, "intermediate.key.age") }

// chain reads the intermediate's chain.
func (f caFiles) chain() ([]*x509.Certificate, error) {
	chain, err := readChain(f.intermediate())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, invalid("make one with shuind ca init, or bring one with shuind ca import", "there is no certificate authority: %w", err)
	}
	return chain, err
}

// inUse is the intermediate's certificate, without a look at its key; nil where
// none can be read.
func (f caFiles) inUse() *x509.Certificate {
	chain, err := f.chain()
	if err != nil {
		return nil
	}
	return chain[0]
}

// authority opens the intermediate. Files that do not belong together are
// those of a replacement that was killed.
func (f caFiles) authority(identity *age.Identity) (*issue.Authority, error) {
	a, err := f.open(f.intermediateKey(), identity)
	if err != nil {
		return nil, err
	}
	chain := a.Chain()
	switch root, err := readChain(f.root()); {
	case errors.Is(err, fs.ErrNotExist): // needed by people only
	case err != nil:
		return nil, err
	case !root[0].Equal(chain[len(chain)-1]):
		return nil, invalid(unfinishedHint, "%s is not the root of %s", f.root(), f.intermediate())
	}
	return a, nil
}

const unfinishedHint = "if the intermediate was being replaced (shuind ca intermediate new, shuind ca import --replace): give that command again, and it ends"

// open opens the intermediate with the key at path.
func (f caFiles) open(path string, identity *age.Identity) (*issue.Authority, error) {
	chain, err := f.chain()
	if err != nil {
		return nil, err
	}
	key, err := age.LoadKey(path, identity.Lock())
	if err != nil {
		return nil, keyHint(err)
	}
	if !samePublic(key, chain[0]) {
		return nil, invalid(unfinishedHint, "%s is not the key of %s", path, f.intermediate())
	}
	return issue.NewAuthority(chain, key)
}

func readChain(path string) ([]*x509.Certificate, error) {
	text, err := readFile(path, limits.TrustStoreFile, "TrustStoreFile")
	if err != nil {
		return nil, err
	}
	chain, err := issue.ParseChain(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return chain, nil
}

// rootAuthority opens a root with its key.
func rootAuthority(certPath, keyPath string, lock *age.Lock) (*issue.Authority, error) {
	chain, err := readChain(certPath)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if len(chain) != 1 {
		return nil, invalid("", "%s has %d certificates, want the root's alone", certPath, len(chain))
	}
	key, err := age.LoadKey(keyPath, lock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, invalid("name the exported key with --root-key", "the root's key is not here: %w", err)
	}
	if err != nil {
		return nil, keyHint(err)
	}
	return issue.NewAuthority(chain, key)
}

// staged makes what make puts into a new directory appear at dir all at once,
// or not at all. dir must not exist.
func staged(dir string, make func(tmp string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), dirPerm); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return invalid("nothing is ever replaced: move it away, or choose another data directory", "%s exists already", dir)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".shuind-ca-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := make(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// crlID is the name of a CA's CRL in addresses and files, for the CAs that the
// signing service does not name itself: its key identifier.
func crlID(ca *x509.Certificate) string {
	if len(ca.SubjectKeyId) > 0 && len(ca.SubjectKeyId) <= 32 {
		return hex.EncodeToString(ca.SubjectKeyId)
	}
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:20])
}

// crlAddress is where the CRL of that id is served.
func (c *config) crlAddress(id string) string {
	return strings.TrimSuffix(c.CRL.Base, "/") + "/" + id + ".crl"
}

// fingerprint is the SHA-256 of a certificate, as security people compare it.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// samePublic says whether a key belongs to a certificate.
func samePublic(key crypto.Signer, cert *x509.Certificate) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(cert.PublicKey)
}
