package main

import (
	"crypto"
	"encoding/json"
	"strings"
	"time"
)

const (
	jwsType  = "application/jose+json"
	coseType = "application/cose"
	payType  = "application/vnd.cncf.notary.payload.v1+json"
	x509Name = "notary.x509"
	saName   = "notary.x509.signingAuthority"
	attrBase = "io.cncf.notary."
	repo     = "registry.example/app"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

var artifact = descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json",
	Digest: "sha256:73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333", Size: 16724}

// envelopeFile is an envelope in a vector: text for JWS, base64 for COSE (and
// for JWS that is no UTF-8).
type envelopeFile struct {
	MediaType string `json:"mediaType"`
	Text      string `json:"text,omitempty"`
	Bytes     []byte `json:"bytes,omitempty"`
}

func fileOf(mediaType string, b []byte) envelopeFile {
	f := envelopeFile{MediaType: mediaType}
	if mediaType == coseType || len(b) == 0 || b[0] != '{' {
		f.Bytes = b
	} else {
		f.Text = string(b)
	}
	return f
}

// answer is what an address says when asked.
type answer struct {
	Status int    `json:"status,omitempty"` // 0: 200
	Body   []byte `json:"body,omitempty"`
}

// pluginAnswers are what a verification plugin says, by command.
type pluginAnswers struct {
	Name     string          `json:"name"`
	Metadata json.RawMessage `json:"get-plugin-metadata,omitempty"`
	Verify   json.RawMessage `json:"verify-signature,omitempty"`
}

type envelopeInput struct {
	Reference    string              `json:"reference"`
	Artifact     descriptor          `json:"artifact"`
	Signatures   []envelopeFile      `json:"signatures"`
	TrustPolicy  json.RawMessage     `json:"trustPolicy"`
	TrustStores  map[string][][]byte `json:"trustStores"`
	UserMetadata map[string]string   `json:"userMetadata,omitempty"`
	Answers      map[string]answer   `json:"answers,omitempty"`
	Plugin       *pluginAnswers      `json:"plugin,omitempty"`
}

// scene is a signed artifact and the trust it is verified with. A case takes
// the default one, which is good, and changes one thing.
type scene struct {
	format      string // "jws" or "cose"
	chain       []*cert
	hash        crypto.Hash
	alg         string
	scheme      string
	signingTime time.Time
	expiry      time.Time
	target      string // the payload's targetArtifact; "" is the artifact itself
	payload     string // the whole payload; "" is made of target
	annotations map[string]string
	token       *token
	rawToken    []byte
	agent       string
	jws         func(*jwsDraft)
	cose        func(*coseDraft)

	now      time.Time
	level    string
	override string // JSON
	verifyTS string
	stores   map[string][]*cert
	named    []string // trust stores that the policy names; default: all of stores
	ids      []string
	policy   string // whole document, instead of the above
	in       envelopeInput
}

func good(format string) *scene {
	return &scene{format: format, chain: chainOf("p256"), hash: crypto.SHA256, alg: "ES256", scheme: x509Name, signingTime: signedAt,
		agent: "vectors/1.0", now: now, level: "strict", stores: map[string][]*cert{"ca:example": {rootCA}}, ids: []string{"*"}}
}

var coseAlg = map[string]int{"PS256": -37, "PS384": -38, "PS512": -39, "ES256": -7, "ES384": -35, "ES512": -36}

// withKey gives the scene a leaf of another kind and the algorithm that goes with it.
func (s *scene) withKey(kind string) *scene {
	s.chain = chainOf(kind)
	s.alg = map[string]string{"p256": "ES256", "p384": "ES384", "p521": "ES512", "rsa2041": "PS256", "rsa2048": "PS256", "rsa3072": "PS384", "rsa4096": "PS512"}[kind]
	s.hash = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[s.alg[2:]]
	return s
}

// authority makes the scene one of a signing authority.
func (s *scene) authority() *scene {
	s.scheme = saName
	s.stores = map[string][]*cert{"signingAuthority:example": {rootCA}}
	return s
}

// trustTSA adds a store for timestamps.
func (s *scene) trustTSA(roots ...*cert) *scene {
	if roots == nil {
		roots = []*cert{tsaRoot}
	}
	s.stores["tsa:example"] = roots
	return s
}

func (s *scene) payloadText() string {
	if s.payload != "" {
		return s.payload
	}
	if s.target != "" {
		return `{"targetArtifact":` + s.target + `}`
	}
	d := artifact
	d.Annotations = s.annotations
	return `{"targetArtifact":` + string(must(json.Marshal(d))) + `}`
}

func (s *scene) timestamp() func([]byte) []byte {
	switch {
	case s.token != nil:
		return s.token.over
	case s.rawToken != nil:
		return func([]byte) []byte { return s.rawToken }
	}
	return nil
}

func (s *scene) timeName() string {
	if s.scheme == saName {
		return attrBase + "authenticSigningTime"
	}
	return attrBase + "signingTime"
}

func (s *scene) critical() []string {
	crit := []string{attrBase + "signingScheme"}
	if s.scheme == saName {
		crit = append(crit, s.timeName())
	}
	if !s.expiry.IsZero() {
		crit = append(crit, attrBase+"expiry")
	}
	return crit
}

func (s *scene) envelope() []byte {
	if s.format == "cose" {
		return s.coseDraft().build()
	}
	return s.jwsDraft().build()
}

func (s *scene) jwsDraft() *jwsDraft {
	d := &jwsDraft{payload: []byte(s.payloadText()), hash: s.hash, key: s.chain[0].key, timestamp: s.timestamp()}
	d.protected = []member{{"alg", quote(s.alg)}, {"cty", quote(payType)}, {"crit", strings_(s.critical())},
		{attrBase + "signingScheme", quote(s.scheme)}, {s.timeName(), rfc3339(s.signingTime)}}
	if !s.expiry.IsZero() {
		d.protected = append(d.protected, member{attrBase + "expiry", rfc3339(s.expiry)})
	}
	d.header = []member{{"x5c", x5c(der(s.chain))}}
	if s.agent != "" {
		d.header = append(d.header, member{attrBase + "signingAgent", quote(s.agent)})
	}
	if s.jws != nil {
		s.jws(d)
	}
	return d
}

func (s *scene) coseDraft() *coseDraft {
	d := &coseDraft{payload: []byte(s.payloadText()), hash: s.hash, key: s.chain[0].key, timestamp: s.timestamp(),
		context: "Signature1", aad: []byte{}, tag: 18}
	var crit []any
	for _, c := range s.critical() {
		crit = append(crit, c)
	}
	d.protected = []item{{1, coseAlg[s.alg]}, {2, crit}, {3, payType}, {attrBase + "signingScheme", s.scheme}, {s.timeName(), epoch(s.signingTime)}}
	if !s.expiry.IsZero() {
		d.protected = append(d.protected, item{attrBase + "expiry", epoch(s.expiry)})
	}
	d.unprotected = []item{{33, byteStrings(der(s.chain))}}
	if s.agent != "" {
		d.unprotected = append(d.unprotected, item{attrBase + "signingAgent", s.agent})
	}
	if s.cose != nil {
		s.cose(d)
	}
	return d
}

func (s *scene) document() string {
	if s.policy != "" {
		return s.policy
	}
	var names []string
	for _, n := range []string{"ca:example", "signingAuthority:example", "tsa:example"} {
		if _, ok := s.stores[n]; ok {
			names = append(names, n)
		}
	}
	if s.named != nil {
		names = s.named
	}
	sv := []member{{"level", quote(s.level)}}
	if s.override != "" {
		sv = append(sv, member{"override", s.override})
	}
	if s.verifyTS != "" {
		sv = append(sv, member{"verifyTimestamp", quote(s.verifyTS)})
	}
	return document(statement("example", []string{repo}, object(sv), names, s.ids))
}

func statement(name string, scopes []string, verification string, stores, ids []string) string {
	ms := []member{{"name", quote(name)}, {"registryScopes", strings_(scopes)}, {"signatureVerification", verification}}
	if stores != nil {
		ms = append(ms, member{"trustStores", strings_(stores)})
	}
	if ids != nil {
		ms = append(ms, member{"trustedIdentities", strings_(ids)})
	}
	return object(ms)
}

func document(statements ...string) string {
	return `{"version":"1.0","trustPolicies":[` + strings.Join(statements, ",") + `]}`
}

func (s *scene) mediaType() string {
	if s.format == "cose" {
		return coseType
	}
	return jwsType
}

func (s *scene) input() envelopeInput {
	in := s.in
	if in.Reference == "" {
		in.Reference = repo + "@" + artifact.Digest
	}
	if in.Artifact.Digest == "" {
		in.Artifact = artifact
	}
	if in.Signatures == nil {
		in.Signatures = []envelopeFile{fileOf(s.mediaType(), s.envelope())}
	}
	in.TrustPolicy = json.RawMessage(s.document())
	in.TrustStores = map[string][][]byte{}
	for name, certs := range s.stores {
		in.TrustStores[name] = der(certs)
	}
	return in
}

func (b *book) accept(id, title string, s *scene) {
	n := s.now
	b.add(&vector{ID: id, Title: title, Kind: "envelope", Valid: true, Now: &n, Input: s.input()})
}

func (b *book) refuse(id, title, check, code string, s *scene, rows ...string) {
	n := s.now
	b.add(&vector{ID: id, Title: title, Kind: "envelope", Now: &n, Input: s.input(),
		Expect: &expect{Rows: rows, Check: check, Codes: strings.Split(code, "|")}})
}

// each makes the case once per format; the id's last part gets the format's name.
func (b *book) each(f func(format string)) {
	for _, format := range []string{"jws", "cose"} {
		f(format)
	}
}

// both returns the scene with a change to whichever draft is built.
func both(format string, j func(*jwsDraft), c func(*coseDraft)) *scene {
	s := good(format)
	s.jws, s.cose = j, c
	return s
}
