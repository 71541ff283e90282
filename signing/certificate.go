package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/sign"
)

// ImportCertificate keeps a signing certificate of an account's own, for
// profiles of KindAWS to sign with. chain is DER, the certificate first, its
// self-signed root last; it has to keep every rule for signing and to be valid
// now. key is the certificate's, ECDSA on P-384 as the platform asks for, and
// can be written as PKCS#8; it is kept sealed. by names the operator in the
// log. What is wrong with them is an *Error of FaultValidation (ErrImported and
// ErrRevoked among the causes).
func (s *Service) ImportCertificate(ctx context.Context, by, account string, chain [][]byte, key crypto.Signer) (Certificate, error) {
	if !awsprofile.ValidAccount(account) {
		return Certificate{}, invalid("account %.40q is not twelve digits", account)
	}
	now := s.Now().UTC()
	certs, err := checkImport(chain, key, now)
	if err != nil {
		return Certificate{}, err
	}
	id, err := newJobID(now)
	if err != nil {
		return Certificate{}, internal("make a certificate's id", err)
	}
	c := Certificate{
		ARN:   awsprofile.Certificate{Partition: s.Partition, Region: s.Region, Account: account, ID: id},
		Chain: chain, IDs: awsprofile.CertificateIDs(certs), Imported: now,
	}
	c.NotBefore, c.NotAfter = spanOf(certs)
	if c.SealedKey, err = s.sealKey(key); err != nil {
		return Certificate{}, internal("seal a signing key", err)
	}
	err = s.update(ctx, func(tx Tx) error {
		if err := mayImport(tx, c); err != nil {
			return err
		}
		if err := tx.AddCertificate(c); err != nil {
			return err
		}
		return s.noteCertificate(tx, by, actionImport, certs[0], "import "+c.ARN.String())
	})
	return c, err
}

// checkImport holds a chain and its key against what signing asks of them.
func checkImport(chain [][]byte, key crypto.Signer, now time.Time) ([]*x509.Certificate, error) {
	certs, err := envelope.ParseChain(chain)
	if err != nil {
		return nil, invalid("The certificate chain cannot be read: %v.", err)
	}
	leaf := certs[0]
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P384() {
		return nil, invalid("The first certificate, %q, has %s key; platform %s signs with ECDSA on the curve P-384 alone.", leaf.Subject, keyWord(leaf.PublicKey), awsprofile.PlatformID)
	}
	if _, err := sign.CheckChain(chain, envelope.ES384); err != nil {
		return nil, invalid("The certificate chain cannot sign: %v.", err)
	}
	if key == nil || !samePublic(key.Public(), leaf.PublicKey) {
		return nil, invalid("The private key is not that of the first certificate, %q.", leaf.Subject)
	}
	if err := sign.CheckValid(certs, now); err != nil {
		return nil, invalid("The certificate chain cannot sign now: %v.", err)
	}
	if leaf.SerialNumber.BitLen() > 8*20 {
		return nil, invalid("The first certificate, %q, has a serial number of more than 20 octets.", leaf.Subject)
	}
	return certs, nil
}

// keyWord names the type of a key, with its article.
func keyWord(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "an ECDSA " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("an RSA %d", k.N.BitLen())
	}
	return strings.TrimPrefix(fmt.Sprintf("a %T", pub), "*")
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// spanOf is when all certificates of a chain are valid.
func spanOf(certs []*x509.Certificate) (from, until time.Time) {
	from, until = certs[0].NotBefore, certs[0].NotAfter
	for _, c := range certs[1:] {
		from, until = latest(from, c.NotBefore), earliest(until, c.NotAfter)
	}
	return from.UTC(), until.UTC()
}

// Why a certificate that could sign is not imported.
var (
	ErrImported = errors.New("the account has the certificate already")
	ErrRevoked  = errors.New("the certificate was revoked, or a CA above it")
)

// own names the certificate alone, whatever edition of its issuer is above it.
func (c *Certificate) own() string {
	if len(c.IDs) == 0 {
		return ""
	}
	return awsprofile.OwnHash(c.IDs[0])
}

// mayImport: nobody revoked it or a CA above it here, the account does not have
// it yet, and there is room. With another edition of its CA above it it
// is the same certificate.
func mayImport(tx Tx, c Certificate) error {
	revoked, err := tx.RevokedEditions(c.IDs)
	if err != nil {
		return err
	}
	if len(revoked) > 0 {
		return &Error{Fault: FaultValidation, Message: fmt.Sprintf("The certificate, or a CA above it, was revoked here: certificate id %s.", revoked[0]), Err: ErrRevoked}
	}
	all, err := tx.Certificates()
	if err != nil {
		return err
	}
	there := 0
	for _, old := range all {
		if !old.Deleted.IsZero() {
			continue
		}
		there++
		if old.ARN.Account == c.ARN.Account && old.own() == c.own() {
			return &Error{Fault: FaultValidation, Message: fmt.Sprintf("The certificate is here already, as %s.", old.ARN), Err: ErrImported}
		}
	}
	if there >= limits.SigningMaterial {
		return fault(FaultLimit, "There are %d imported certificates, which is the most (limit SigningMaterial); delete one first.", there)
	}
	return nil
}

// noteCertificate is the entry of an import or a deletion.
func (s *Service) noteCertificate(tx Tx, by, action string, leaf *x509.Certificate, detail string) error {
	hash, err := publicKeyHash(leaf.PublicKey)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(leaf.Raw)
	return s.note(tx, &Caller{Principal: by}, audit.CertificateChange, action, audit.Entry{
		Certificate: hex.EncodeToString(sum[:]), Serial: hex.EncodeToString(leaf.SerialNumber.Bytes()), PublicKey: hash,
		Detail: bounded(detail + "; " + leaf.Subject.String()),
	})
}

// DeleteCertificate ends an imported certificate: its sealed key is dropped, its
// chain stays for what was signed. While an active profile signs with it, it is
// refused (FaultConflict). by names the operator in the log.
func (s *Service) DeleteCertificate(ctx context.Context, by, arn string) error {
	name, err := awsprofile.ParseCertificate(arn)
	if err != nil {
		return invalid("%v", err)
	}
	defer s.forgetImported(name)
	return s.update(ctx, func(tx Tx) error {
		c, err := tx.Certificate(name)
		if errors.Is(err, ErrNotFound) || err == nil && !c.Deleted.IsZero() {
			return notFound("There is no certificate %s.", name)
		}
		if err != nil {
			return err
		}
		used, err := tx.Profiles(ProfileQuery{Account: name.Account, Statuses: []ProfileStatus{ProfileActive}, Certificate: name, Limit: 1})
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return fault(FaultConflict, "Certificate %s is in use by the active signing profile %s: put that with other material, cancel it or revoke it, then delete the certificate.", name, used[0].ARN)
		}
		c.SealedKey, c.Deleted = nil, s.Now().UTC()
		if err := tx.SetCertificate(c); err != nil {
			return err
		}
		leaf, err := x509.ParseCertificate(c.Chain[0])
		if err != nil {
			return internal("read an imported certificate", err)
		}
		return s.noteCertificate(tx, by, actionDelete, leaf, "delete "+name.String())
	})
}
