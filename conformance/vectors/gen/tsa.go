package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertV1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidBaseline      = asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1}
	oidSomePolicy    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	oidHash          = map[crypto.Hash]asn1.ObjectIdentifier{
		crypto.SHA1:   {1, 3, 14, 3, 2, 26},
		crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
		crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
		crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
	}
	oidECDSASHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

func tsaSpec(k *key, cn string) *spec {
	s := leafSpec(k, cn)
	s.ExtKeyUsage = nil
	s.ExtraExtensions = []pkix.Extension{{Id: oidExtKeyUsage, Critical: true,
		Value: must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}))}}
	s.NotBefore, s.NotAfter = caFrom, caTo
	return s
}

var (
	tsaRoot = caSpec(newKey("p256/tsa-root"), "Example TSA Root").issue(nil)
	tsaLeaf = tsaSpec(newKey("p256/tsa"), "Example TSA").issue(tsaRoot)
)

// token is an RFC 3161 TimeStampToken about to be put together.
type token struct {
	chain      []*cert // leaf first; all but the root go into the token
	withRoot   bool
	at         time.Time
	hash       crypto.Hash // of the message imprint
	imprint    []byte      // instead of the hash of the signature
	policy     asn1.ObjectIdentifier
	accuracy   int    // seconds; 0 writes none
	twoSigners bool   // the signer stands twice
	signing    string // "v2" (default), "v1", "none", "wrong"
	version    int
	breakSig   bool
	content    asn1.ObjectIdentifier
}

func stamp(at time.Time) *token {
	return &token{chain: []*cert{tsaLeaf, tsaRoot}, at: at, hash: crypto.SHA256, policy: oidSomePolicy, version: 1, content: oidTSTInfo}
}

type algorithmIdentifier struct{ Algorithm asn1.ObjectIdentifier }

type accuracy struct{ Seconds int }

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

func attr(id asn1.ObjectIdentifier, v any) attribute {
	return attribute{id, []asn1.RawValue{{FullBytes: must(asn1.Marshal(v))}}}
}

func wrap(class, tag int, content []byte) asn1.RawValue {
	return asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: content}
}

func (t *token) info(signature []byte) []byte {
	imprint := t.imprint
	if imprint == nil {
		h := t.hash.New()
		h.Write(signature)
		imprint = h.Sum(nil)
	}
	type messageImprint struct {
		Algorithm algorithmIdentifier
		Hashed    []byte
	}
	type tstInfo struct {
		Version  int
		Policy   asn1.ObjectIdentifier
		Imprint  messageImprint
		Serial   *big.Int
		GenTime  time.Time     `asn1:"generalized"`
		Accuracy asn1.RawValue `asn1:"optional"`
	}
	i := tstInfo{Version: t.version, Policy: t.policy, Imprint: messageImprint{algorithmIdentifier{oidHash[t.hash]}, imprint},
		Serial: big.NewInt(7), GenTime: t.at.UTC()}
	if t.accuracy != 0 {
		i.Accuracy = asn1.RawValue{FullBytes: must(asn1.Marshal(accuracy{t.accuracy}))}
	}
	return must(asn1.Marshal(i))
}

// over makes the token over a primitive signature (CMS: RFC 5652; the
// attributes: RFC 3161 section 2.4.2, RFC 5816).
func (t *token) over(signature []byte) []byte {
	info := t.info(signature)
	tsa := t.chain[0]
	digest := sha256.Sum256(info)
	attrs := []attribute{attr(oidContentType, t.content), attr(oidMessageDigest, digest[:])}
	certHash := sha256.Sum256(tsa.Raw)
	if t.signing == "wrong" {
		certHash[0] ^= 1
	}
	type certID struct{ Hash []byte }
	type signingCert struct{ Certs []certID }
	switch t.signing {
	case "none":
	case "v1":
		attrs = append(attrs, attr(oidSigningCertV1, signingCert{[]certID{{certHash[:20]}}}))
	default:
		attrs = append(attrs, attr(oidSigningCertV2, signingCert{[]certID{{certHash[:]}}}))
	}
	set := must(asn1.MarshalWithParams(attrs, "set"))
	sum := sha256.Sum256(set)
	sig := must(tsa.key.Sign(nil, sum[:], crypto.SHA256))
	if t.breakSig {
		var rs struct{ R, S *big.Int }
		must(asn1.Unmarshal(sig, &rs))
		rs.S.Add(rs.S, big.NewInt(1))
		rs.S.Mod(rs.S, tsa.key.Signer.(*ecdsa.PrivateKey).Params().N)
		sig = must(asn1.Marshal(rs))
	}
	var content asn1.RawValue
	must(asn1.Unmarshal(set, &content))
	type sid struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	type signerInfo struct {
		Version   int
		SID       sid
		Digest    algorithmIdentifier
		Attrs     asn1.RawValue
		Algorithm algorithmIdentifier
		Signature []byte
	}
	si := signerInfo{1, sid{asn1.RawValue{FullBytes: tsa.RawIssuer}, tsa.SerialNumber}, algorithmIdentifier{oidHash[crypto.SHA256]},
		wrap(asn1.ClassContextSpecific, 0, content.Bytes), algorithmIdentifier{oidECDSASHA256}, sig}
	signers := []signerInfo{si}
	if t.twoSigners {
		signers = append(signers, si)
	}
	var certs []byte
	for i, c := range t.chain {
		if i < len(t.chain)-1 || t.withRoot || len(t.chain) == 1 {
			certs = append(certs, c.Raw...)
		}
	}
	type encap struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	type signedData struct {
		Version int
		Digests []algorithmIdentifier `asn1:"set"`
		Encap   encap
		Certs   asn1.RawValue
		Signers []signerInfo `asn1:"set"`
	}
	sd := signedData{3, []algorithmIdentifier{{oidHash[crypto.SHA256]}},
		encap{t.content, wrap(asn1.ClassContextSpecific, 0, must(asn1.Marshal(info)))},
		wrap(asn1.ClassContextSpecific, 0, certs), signers}
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	return must(asn1.Marshal(contentInfo{oidSignedData, wrap(asn1.ClassContextSpecific, 0, must(asn1.Marshal(sd)))}))
}
