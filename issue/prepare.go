package issue

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/shuin/shuin/envelope"
)

// Prepare lints. The certificate is encoded as it would be signed, read back,
// compared with r field by field, and held, under the authority's chain,
// against every rule of envelope's certificate checks; ours are: serial and
// subject as RFC 5280 wants them, validity within that of the whole chain,
// well-formed URI and CRL address, a key of its own. Nothing is signed.
func (a *Authority) Prepare(r Request) (*Prepared, error) {
	r.NotBefore, r.NotAfter = seconds(r.NotBefore), seconds(r.NotAfter)
	p, err := a.prepare(r)
	if err != nil {
		return nil, fmt.Errorf("certificate for %q refused: %w", r.Subject.CommonName, err)
	}
	return p, nil
}

func (a *Authority) prepare(r Request) (*Prepared, error) {
	if err := a.lint(r); err != nil {
		return nil, err
	}
	keyID, err := keyIdentifier(r.PublicKey)
	if err != nil {
		return nil, err
	}
	p := &Prepared{by: a, request: r, keyID: keyID}
	if p.tbs, err = a.encode(r, keyID); err != nil {
		return nil, err
	}
	if p.algorithm, err = algorithmOf(p.tbs); err != nil {
		return nil, err
	}
	der, err := p.assemble(nil)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("what was encoded cannot be read: %w", err)
	}
	if err := a.compare(cert, p); err != nil {
		return nil, err
	}
	chain := a.under(cert)
	if r.CA {
		err = checkCAChain(chain)
	} else {
		err = envelope.CheckChain(chain, envelope.CodeSigning)
	}
	if err != nil {
		return nil, err
	}
	p.linted = cert
	return p, nil
}

// Issue spends p (a second time is an error, also after a failure), signs
// exactly the bytes that were linted, reads the result back, and checks that
// it is these bytes, their algorithm and that signature, and that the signature
// is right. So every field is one that Prepare compared with the Request. It
// makes one signature and one signature check; the authority's own chain is not
// checked again.
func (a *Authority) Issue(ctx context.Context, p *Prepared) (*Issued, error) {
	switch {
	case p == nil || p.by == nil:
		return nil, errors.New("issue certificate: not prepared")
	case p.by != a:
		return nil, errors.New("issue certificate: prepared by another authority")
	case !p.spent.CompareAndSwap(false, true):
		return nil, fmt.Errorf("issue certificate: %w", ErrSpent)
	}
	cert, err := a.issue(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %q: %w", p.request.Subject.CommonName, err)
	}
	return &Issued{Certificate: cert, Chain: a.under(cert)}, nil
}

func (a *Authority) issue(ctx context.Context, p *Prepared) (*x509.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	signature, err := a.sign(ctx, p.tbs)
	if err != nil {
		return nil, err
	}
	der, err := p.assemble(signature)
	if err != nil {
		return nil, err
	}
	cert, err := p.finished(der, signature)
	if err != nil {
		return nil, err
	}
	issuer := cert // a root
	if len(a.chain) > 0 {
		issuer = a.chain[0]
	}
	if err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return nil, fmt.Errorf("the authority's key made a wrong signature: %w", err)
	}
	return cert, nil
}

// under is cert and the authority's chain.
func (a *Authority) under(cert *x509.Certificate) []*x509.Certificate {
	chain := make([]*x509.Certificate, 0, len(a.chain)+1)
	return append(append(chain, cert), a.chain...)
}

// sign signs message, not its digest.
func (a *Authority) sign(ctx context.Context, message []byte) ([]byte, error) {
	return crypto.SignMessage(withContext(ctx, a.key), rand.Reader, message, signerOpts(a.algorithm))
}

func signerOpts(algorithm x509.SignatureAlgorithm) crypto.SignerOpts {
	switch algorithm {
	case x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.ECDSAWithSHA512:
		return crypto.SHA512
	case x509.SHA256WithRSAPSS:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	case x509.SHA384WithRSAPSS:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384}
	case x509.SHA512WithRSAPSS:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512}
	}
	return crypto.SHA256
}

// encodeNew is the TBSCertificate of r, by x509.
func (a *Authority) encodeNew(r Request, keyID []byte) ([]byte, error) {
	t := &x509.Certificate{
		SerialNumber:          r.Serial,
		Subject:               r.Subject.name(),
		NotBefore:             r.NotBefore,
		NotAfter:              r.NotAfter,
		SignatureAlgorithm:    a.algorithm,
		BasicConstraintsValid: true,
		KeyUsage:              keyUsage(r),
		ExtKeyUsage:           a.extKeyUsage(),
		SubjectKeyId:          keyID,
	}
	if r.CA {
		t.IsCA, t.MaxPathLen, t.MaxPathLenZero = true, r.MaxPathLen, r.MaxPathLen == 0
	}
	if r.URI != nil {
		t.URIs = []*url.URL{r.URI}
	}
	if r.CRL != "" {
		t.CRLDistributionPoints = []string{r.CRL}
	}
	parent := t
	if len(a.chain) > 0 {
		parent = a.chain[0]
	}
	// x509 knows how to encode a certificate but only together with signing
	// it: this key takes the bytes and signs nothing.
	taker := &takesMessage{public: a.key.Public()}
	if _, err := x509.CreateCertificate(rand.Reader, t, parent, r.PublicKey, taker); !errors.Is(err, errTaken) {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return taker.message, nil
}

func keyUsage(r Request) x509.KeyUsage {
	if r.CA {
		return x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	return x509.KeyUsageDigitalSignature
}

// extKeyUsage: code signing only, for leaves and for every CA but the root.
func (a *Authority) extKeyUsage() []x509.ExtKeyUsage {
	if len(a.chain) == 0 {
		return nil
	}
	return []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
}

func (s Subject) name() pkix.Name {
	n := pkix.Name{Country: []string{s.Country}, Province: []string{s.Province}, Organization: []string{s.Organization}, CommonName: s.CommonName}
	if s.OrganizationalUnit != "" {
		n.OrganizationalUnit = []string{s.OrganizationalUnit}
	}
	return n
}

// keyIdentifier is by RFC 7093 section 2, method 1.
func keyIdentifier(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	sum := sha256.Sum256(spki.Key.Bytes)
	return sum[:20], nil
}

var errTaken = errors.New("message taken")

// takesMessage is a key that keeps what it should sign.
type takesMessage struct {
	public  crypto.PublicKey
	message []byte
}

func (t *takesMessage) Public() crypto.PublicKey { return t.public }

func (t *takesMessage) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("this key signs nothing")
}

func (t *takesMessage) SignMessage(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	t.message = bytes.Clone(message)
	return nil, errTaken
}

// assemble makes a certificate of its signed part and its signature, which is
// empty while it is linted. The algorithm outside is the one inside.
func (p *Prepared) assemble(signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(p.tbs)
		b.AddBytes(p.algorithm)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return der, nil
}

// algorithmOf is the algorithm that a TBSCertificate names, encoded.
func algorithmOf(tbs []byte) ([]byte, error) {
	in := cryptobyte.String(tbs)
	var algorithm cryptobyte.String
	if !in.ReadASN1(&in, cbasn1.SEQUENCE) ||
		!in.SkipOptionalASN1(cbasn1.Tag(0).Constructed().ContextSpecific()) || // version
		!in.SkipASN1(cbasn1.INTEGER) || // serial number
		!in.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) {
		return nil, errors.New("encode: what was encoded cannot be read")
	}
	return algorithm, nil
}

// finished reads the certificate der. It differs from the linted one in its
// signature and in nothing else: what was read of that, and compared with the
// request, is what would be read of this one.
func (p *Prepared) finished(der, signature []byte) (*x509.Certificate, error) {
	in := cryptobyte.String(der)
	var outer, tbs, algorithm cryptobyte.String
	var value []byte
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() ||
		!outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!outer.ReadASN1BitStringAsBytes(&value) || !outer.Empty() {
		return nil, errors.New("the certificate made cannot be read")
	}
	if !bytes.Equal(tbs, p.linted.RawTBSCertificate) || !bytes.Equal(algorithm, p.algorithm) || !bytes.Equal(value, signature) {
		return nil, errors.New("the certificate made is not the one that was linted")
	}
	cert := *p.linted
	cert.Raw, cert.RawTBSCertificate, cert.Signature = der, tbs, value
	return &cert, nil
}

// pretendLeaf stands below a CA chain, so that envelope's rules, which start
// at a leaf, can be applied to it. They look at no other field.
func pretendLeaf(issuer *x509.Certificate) *x509.Certificate {
	return &x509.Certificate{
		SignatureAlgorithm: x509.ECDSAWithSHA256,
		PublicKey:          &ecdsa.PublicKey{Curve: elliptic.P256()},
		RawIssuer:          issuer.RawSubject,
		KeyUsage:           x509.KeyUsageDigitalSignature,
		Extensions:         []pkix.Extension{{Id: oidKeyUsage, Critical: true}},
	}
}

// checkCAChain holds a chain of CAs against envelope's rules, as if a leaf
// stood below it.
func checkCAChain(chain []*x509.Certificate) error {
	return envelope.CheckChain(append([]*x509.Certificate{pretendLeaf(chain[0])}, chain...), envelope.CodeSigning)
}

var (
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidInvalidityDate   = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidCRLPoints        = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidNextPublish      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}
)

// latest is the last moment a certificate can name (RFC 5280 section 4.1.2.5.2).
var latest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
