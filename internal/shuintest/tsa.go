package shuintest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"
)

// Object identifiers of RFC 3161, RFC 5652 and RFC 5816.
var (
	OIDSignedData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	OIDData            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	OIDTSTInfo         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	OIDBaselinePolicy  = asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1} // RFC 3628, section 5.2
	OIDTestPolicy      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1}
	oidContentType     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertV1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidRSAEncryption   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECDSAWithSHA1   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
)

var digestOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   {1, 3, 14, 3, 2, 26},
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// Media types of RFC 3161, section 3.4.
const (
	TimestampQuery = "application/timestamp-query"
	TimestampReply = "application/timestamp-reply"
)

// SigningCertificate says which signing-certificate attribute a token carries.
type SigningCertificate uint8

// The attributes; the zero value is the one RFC 5816 asks for.
const (
	SigningCertificateV2 SigningCertificate = iota
	SigningCertificateV1
	SigningCertificateNone
)

// Token is all that goes into a timestamp token. A TSA fills it in rightly;
// TSA.Mutate may spoil it.
type Token struct {
	// Status is the PKIStatus of the answer: 0 granted, 1 granted with
	// modifications, 2 rejected. Anything above 1 leaves the token out.
	Status int

	Version     int
	Policy      asn1.ObjectIdentifier
	ImprintHash crypto.Hash
	Imprint     []byte
	Serial      *big.Int
	Time        time.Time     // whole seconds
	Accuracy    time.Duration // zero: left out
	// AccuracySeconds, where not zero, stands in Accuracy's place: it can be
	// more than a Duration can hold.
	AccuracySeconds int
	Nonce           *big.Int // nil: left out

	ContentType        asn1.ObjectIdentifier
	Digest             crypto.Hash // of the signed attributes and their signature
	MessageDigest      []byte      // nil: the right one
	SigningCertificate SigningCertificate
	SigningCertHash    crypto.Hash // SHA-256 when zero
	SigningCertDigest  []byte      // nil: the leaf's own
	Certs              [][]byte    // leaf first, then whatever else the token carries
	Leaf               *x509.Certificate
	Key                crypto.Signer
	BadSignature       bool // flip a bit of the signature
	NoSigner           bool // no SignerInfo at all
}

// TSA is a timestamping authority (RFC 3161). It is an http.Handler.
type TSA struct {
	// Chain is a chain made with ChainOptions.Timestamping.
	Chain *Chain
	// Now is the time it attests; time.Now when nil.
	Now func() time.Time
	// Policy is OIDTestPolicy when nil.
	Policy asn1.ObjectIdentifier
	// Accuracy is stated when not zero.
	Accuracy time.Duration
	// Digest is what its own signature uses; SHA-256 when zero.
	Digest crypto.Hash
	// OmitRoot leaves the root out of the token.
	OmitRoot bool
	// Mutate spoils a token.
	Mutate func(*Token)
	// Fault spoils the HTTP answer.
	Fault Fault
}

type messageImprint struct {
	HashAlgorithm pkix.AlgorithmIdentifier
	HashedMessage []byte
}

type timeStampReq struct {
	Version        int
	MessageImprint messageImprint
	ReqPolicy      asn1.ObjectIdentifier `asn1:"optional"`
	Nonce          *big.Int              `asn1:"optional"`
	CertReq        bool                  `asn1:"optional,default:false"`
	Extensions     []pkix.Extension      `asn1:"optional,tag:0"`
}

type accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

type tstInfo struct {
	Version        int
	Policy         asn1.ObjectIdentifier
	MessageImprint messageImprint
	SerialNumber   *big.Int
	GenTime        time.Time     `asn1:"generalized"`
	Accuracy       asn1.RawValue `asn1:"optional"`
	Nonce          *big.Int      `asn1:"optional"`
}

// ServeHTTP answers a timestamp query.
func (t *TSA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.Fault.serve(w, r) {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != TimestampQuery {
		http.Error(w, "want a POST of "+TimestampQuery, http.StatusBadRequest)
		return
	}
	resp, err := t.Respond(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", TimestampReply)
	_, _ = w.Write(resp) // a client that went away is its own affair
}

// Respond answers the DER TimeStampReq with a DER TimeStampResp.
func (t *TSA) Respond(query []byte) ([]byte, error) {
	var req timeStampReq
	if _, err := asn1.Unmarshal(query, &req); err != nil {
		return nil, fmt.Errorf("bad timestamp query: %w", err)
	}
	var hash crypto.Hash
	for h, oid := range digestOIDs {
		if oid.Equal(req.MessageImprint.HashAlgorithm.Algorithm) {
			hash = h
		}
	}
	if hash == 0 {
		return nil, errors.New("unknown imprint algorithm")
	}
	tok := t.newToken(hash, req.MessageImprint.HashedMessage)
	tok.Nonce = req.Nonce
	if !req.CertReq {
		tok.Certs = nil
	}
	if t.Mutate != nil {
		t.Mutate(tok)
	}
	resp := struct {
		Status struct{ Status int }
		Token  asn1.RawValue `asn1:"optional"`
	}{}
	resp.Status.Status = tok.Status
	if tok.Status <= 1 {
		der, err := tok.Marshal()
		if err != nil {
			return nil, err
		}
		resp.Token = asn1.RawValue{FullBytes: der}
	}
	return asn1.Marshal(resp)
}

// Token is a token over signature, hashed with hash, without asking by HTTP.
func (t *TSA) Token(signature []byte, hash crypto.Hash) ([]byte, error) {
	tok := t.newToken(hash, digestOf(hash, signature))
	if t.Mutate != nil {
		t.Mutate(tok)
	}
	return tok.Marshal()
}

func (t *TSA) newToken(hash crypto.Hash, imprint []byte) *Token {
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	tok := &Token{
		Version: 1, Policy: t.Policy, ImprintHash: hash, Imprint: imprint, Serial: NextSerial(),
		Time: now().UTC().Truncate(time.Second), Accuracy: t.Accuracy, ContentType: OIDTSTInfo, Digest: t.Digest,
		Certs: t.Chain.DER, Leaf: t.Chain.Leaf(), Key: t.Chain.Key(),
	}
	if tok.Policy == nil {
		tok.Policy = OIDTestPolicy
	}
	if tok.Digest == 0 {
		tok.Digest = crypto.SHA256
	}
	if t.OmitRoot && len(tok.Certs) > 1 {
		tok.Certs = tok.Certs[:len(tok.Certs)-1]
	}
	return tok
}

func digestOf(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

func digestAlgorithm(h crypto.Hash) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: digestOIDs[h], Parameters: asn1.NullRawValue}
}

func (tok *Token) info() ([]byte, error) {
	info := tstInfo{
		Version:        tok.Version,
		Policy:         tok.Policy,
		MessageImprint: messageImprint{digestAlgorithm(tok.ImprintHash), tok.Imprint},
		SerialNumber:   tok.Serial,
		GenTime:        tok.Time.UTC(),
		Nonce:          tok.Nonce,
	}
	a := tok.Accuracy
	stated := accuracy{int(a / time.Second), int(a % time.Second / time.Millisecond), int(a % time.Millisecond / time.Microsecond)}
	if tok.AccuracySeconds != 0 {
		stated = accuracy{tok.AccuracySeconds, 0, 0}
	}
	if stated != (accuracy{}) {
		der, err := asn1.Marshal(stated)
		if err != nil {
			return nil, err
		}
		info.Accuracy = asn1.RawValue{FullBytes: der}
	}
	return asn1.Marshal(info)
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type signerInfo struct {
	Version            int
	SID                issuerAndSerial
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttrs        asn1.RawValue
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
}

type encapContentInfo struct {
	ContentType asn1.ObjectIdentifier
	Content     []byte `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	EncapContentInfo encapContentInfo
	Certificates     asn1.RawValue `asn1:"optional"`
	SignerInfos      []signerInfo  `asn1:"set"`
}

// Marshal is the DER TimeStampToken: a ContentInfo with SignedData (RFC 5652,
// section 5).
func (tok *Token) Marshal() ([]byte, error) {
	content, err := tok.info()
	if err != nil {
		return nil, err
	}
	sd := signedData{
		Version:          3, // RFC 5652, section 5.1: the content is not id-data
		DigestAlgorithms: []pkix.AlgorithmIdentifier{digestAlgorithm(tok.Digest)},
		EncapContentInfo: encapContentInfo{tok.ContentType, content},
	}
	if len(tok.Certs) > 0 {
		sd.Certificates = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: bytes.Join(tok.Certs, nil)}
	}
	if !tok.NoSigner {
		si, err := tok.signerInfo(content)
		if err != nil {
			return nil, err
		}
		sd.SignerInfos = []signerInfo{si}
	}
	return asn1.Marshal(struct {
		ContentType asn1.ObjectIdentifier
		Content     signedData `asn1:"explicit,tag:0"`
	}{OIDSignedData, sd})
}

func (tok *Token) signerInfo(content []byte) (signerInfo, error) {
	md := tok.MessageDigest
	if md == nil {
		md = digestOf(tok.Digest, content)
	}
	attrs := []attribute{
		{oidContentType, []asn1.RawValue{{FullBytes: mustMarshal(tok.ContentType)}}},
		{oidMessageDigest, []asn1.RawValue{{FullBytes: mustMarshal(md)}}},
	}
	if a, ok := tok.signingCertificate(); ok {
		attrs = append(attrs, a)
	}
	set, err := asn1.MarshalWithParams(attrs, "set")
	if err != nil {
		return signerInfo{}, err
	}
	sig, err := tok.Key.Sign(rand.Reader, digestOf(tok.Digest, set), tok.Digest)
	if err != nil {
		return signerInfo{}, err
	}
	if tok.BadSignature {
		sig = bytes.Clone(sig)
		sig[len(sig)-1] ^= 1
	}
	// The signature covers the attributes as a SET; they travel as [0].
	implicit := bytes.Clone(set)
	implicit[0] = 0xa0
	return signerInfo{
		Version:            1,
		SID:                issuerAndSerial{asn1.RawValue{FullBytes: tok.Leaf.RawIssuer}, tok.Leaf.SerialNumber},
		DigestAlgorithm:    digestAlgorithm(tok.Digest),
		SignedAttrs:        asn1.RawValue{FullBytes: implicit},
		SignatureAlgorithm: tok.signatureAlgorithm(),
		Signature:          sig,
	}, nil
}

func (tok *Token) signatureAlgorithm() pkix.AlgorithmIdentifier {
	if _, ok := tok.Key.(*ecdsa.PrivateKey); !ok {
		return pkix.AlgorithmIdentifier{Algorithm: oidRSAEncryption, Parameters: asn1.NullRawValue}
	}
	oid := map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1: oidECDSAWithSHA1, crypto.SHA256: oidECDSAWithSHA256,
		crypto.SHA384: oidECDSAWithSHA384, crypto.SHA512: oidECDSAWithSHA512,
	}[tok.Digest]
	return pkix.AlgorithmIdentifier{Algorithm: oid}
}

// signingCertificate is the ESS attribute (RFC 5035, sections 3 and 5).
func (tok *Token) signingCertificate() (attribute, bool) {
	type issuerSerial struct {
		Names  []asn1.RawValue
		Serial *big.Int
	}
	is := issuerSerial{
		Names:  []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: tok.Leaf.RawIssuer}},
		Serial: tok.Leaf.SerialNumber,
	}
	hash := tok.SigningCertHash
	if hash == 0 {
		hash = crypto.SHA256
	}
	var oid asn1.ObjectIdentifier
	var id any
	switch tok.SigningCertificate {
	case SigningCertificateV2:
		digest := tok.SigningCertDigest
		if digest == nil {
			digest = digestOf(hash, tok.Leaf.Raw)
		}
		v2 := struct {
			Hash   pkix.AlgorithmIdentifier `asn1:"optional"`
			Digest []byte
			Issuer issuerSerial
		}{Digest: digest, Issuer: is}
		if hash != crypto.SHA256 { // the default is left out in DER
			v2.Hash = digestAlgorithm(hash)
		}
		oid, id = oidSigningCertV2, v2
	case SigningCertificateV1:
		oid, id = oidSigningCertV1, struct {
			Digest []byte
			Issuer issuerSerial
		}{digestOf(crypto.SHA1, tok.Leaf.Raw), is}
	default:
		return attribute{}, false
	}
	one := asn1.RawValue{FullBytes: mustMarshal(id)}
	value := mustMarshal(struct{ Certs []asn1.RawValue }{[]asn1.RawValue{one}})
	return attribute{oid, []asn1.RawValue{{FullBytes: value}}}, true
}
