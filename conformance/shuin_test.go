package conformance

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// reason is why Shuin refused: which row, which check, which code.
type reason struct {
	Row   string
	Check string
	Code  string
	Text  string
}

func (r reason) String() string {
	return fmt.Sprintf("row %q, check %q, code %q: %s", r.Row, r.Check, r.Code, r.Text)
}

func reasonFor(check shuin.CheckName, err error) reason {
	r := reason{Check: string(check), Code: string(shuin.CodeOf(err)), Text: err.Error()}
	var e *envelope.Error
	if errors.As(err, &e) {
		r.Row = e.Row
	}
	return r
}

// shuinDecides says what Shuin decides about a vector; no reason accepts.
func shuinDecides(t *testing.T, v *vector) []reason {
	var err error
	switch v.Kind {
	case "envelope":
		return shuinVerify(t, input[envelopeCase](t, v), v.Now)
	case "chain":
		err = shuinChain(input[chainCase](t, v))
	case "trustpolicy":
		err = shuinPolicy(input[policyCase](t, v))
	case "identity":
		_, err = policy.ParseOCI(identityDocument(input[identityCase](t, v).TrustedIdentities))
	case "resolution":
		err = shuinResolution(input[resolutionCase](t, v))
	case "revocation":
		return shuinRevocation(t, input[revocationCase](t, v), v.Now)
	case "manifest":
		err = shuinManifest(t, input[manifestCase](t, v))
	case "truststore":
		err = shuinStore(t, input[storeCase](t, v))
	case "sign":
		err = shuinSign(t.Context(), input[signCase](t, v), v.Now)
	case "plugin":
		err = shuinPlugin(t, input[pluginCase](t, v))
	case "signplugin":
		err = shuinSignPlugin(t, v)
	case "policyfiles":
		err = shuinPolicyFiles(t, input[policyFilesCase](t, v))
	case "referrers":
		err = shuinReferrers(t, input[referrersCase](t, v))
	case "timestamping":
		err = shuinTimestamping(t, input[timestampingCase](t, v))
	default:
		t.Fatalf("unknown kind %q", v.Kind)
	}
	if err != nil {
		return []reason{reasonFor("", err)}
	}
	return nil
}

// memoryStores are trust stores in memory.
type memoryStores map[trust.StoreName]*trust.Store

func (m memoryStores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	s, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("no store %s", name)
	}
	return s, nil
}

func newStores(stores map[string][][]byte) (memoryStores, error) {
	parsed, err := parseStores(stores)
	if err != nil {
		return nil, err
	}
	out := memoryStores{}
	for text, certs := range parsed {
		name, err := trust.ParseStoreName(text)
		if err != nil {
			return nil, err
		}
		if out[name], err = trust.NewStore(name, certs, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// newRevoker asks a proxy that answers in the place of everybody.
func newRevoker(t testing.TB, answers map[string]answerJSON) *revocation.Checker {
	c := &revocation.Checker{}
	if answers == nil {
		return c
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveAnswer(w, r, answers) }))
	t.Cleanup(server.Close)
	proxy, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP = &fetch.Client{AllowPrivateAddresses: true, Proxy: http.ProxyURL(proxy)}
	return c
}

func serveAnswer(w http.ResponseWriter, r *http.Request, answers map[string]answerJSON) {
	for address, a := range answers {
		// An OCSP request by GET has the request in its path.
		if s := r.URL.String(); s == address || strings.HasPrefix(s, address+"/") {
			if a.Status != 0 {
				w.WriteHeader(a.Status)
			}
			_, _ = w.Write(a.Body)
			return
		}
	}
	w.WriteHeader(http.StatusBadGateway)
}

// memoryPlugins is a vector's plugin.
type memoryPlugins struct{ *pluginJSON }

func (m memoryPlugins) Verifier(_ context.Context, name string) (verify.PluginVerifier, error) {
	if m.pluginJSON == nil || m.Name != name {
		return nil, errors.New("no such plugin")
	}
	return memoryPlugin(m), nil
}

type memoryPlugin struct{ *pluginJSON }

func (p memoryPlugin) metadata() framework.GetMetadataResponse {
	var m framework.GetMetadataResponse
	_ = json.Unmarshal(p.Metadata, &m)
	return m
}

func (p memoryPlugin) Version() string { return p.metadata().Version }

func (p memoryPlugin) Capabilities() []string {
	var out []string
	for _, c := range p.metadata().Capabilities {
		out = append(out, string(c))
	}
	return out
}

func (p memoryPlugin) VerifySignature(context.Context, verify.PluginRequest) (verify.PluginResponse, error) {
	var r framework.VerifySignatureResponse
	if err := json.Unmarshal(p.Verify, &r); err != nil {
		return verify.PluginResponse{}, err
	}
	out := verify.PluginResponse{Results: map[string]verify.PluginResult{}, Processed: r.ProcessedAttributes}
	for name, x := range r.VerificationResults {
		out.Results[string(name)] = verify.PluginResult{Success: x.Success, Reason: x.Reason}
	}
	return out, nil
}

// memorySignatures are a vector's signatures.
type memorySignatures []shuin.Signature

func (m memorySignatures) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return m, false, nil
}

func signaturesOf(in envelopeCase) memorySignatures {
	var out memorySignatures
	for _, s := range in.Signatures {
		b := s.content()
		out = append(out, shuin.Signature{EnvelopeMediaType: s.MediaType, Envelope: b,
			Manifest: shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromBytes(b), Size: 1}})
	}
	return out
}

func artifactOf(reference string, d descriptorJSON) (shuin.Artifact, error) {
	ref, err := shuin.ParseReference(reference)
	if err != nil {
		return shuin.Artifact{}, err
	}
	return shuin.NewArtifact(ref, shuin.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size, Annotations: d.Annotations})
}

func shuinVerify(t *testing.T, in envelopeCase, now time.Time) []reason {
	doc, err := policy.ParseOCI(in.TrustPolicy)
	if err != nil {
		return []reason{reasonFor("", err)}
	}
	stores, err := newStores(in.TrustStores)
	if err != nil {
		return []reason{reasonFor("", err)}
	}
	a, err := artifactOf(in.Reference, in.Artifact)
	if err != nil {
		return []reason{reasonFor("", err)}
	}
	v := &verify.Verifier{Stores: stores, Revocation: newRevoker(t, in.Answers), Plugins: memoryPlugins{in.Plugin}, Chains: verify.NewChainCache(16)}
	cold := v.Verify(t.Context(), a, signaturesOf(in), doc, verify.Options{Now: now, Metadata: in.UserMetadata})
	warm := v.Verify(t.Context(), a, signaturesOf(in), doc, verify.Options{Now: now, Metadata: in.UserMetadata})
	if cold.Result != warm.Result {
		t.Errorf("a warm cache changes the result from %s to %s", cold.Result, warm.Result)
	}
	return reasonsOf(cold)
}

func reasonsOf(r *shuin.Report) []reason {
	if r.Result == shuin.Verified || r.Result == shuin.PolicySkip {
		return nil
	}
	var out []reason
	for _, s := range r.Signatures {
		for _, c := range s.Checks {
			if c.Enforced && c.Err != nil && (c.Outcome == shuin.Failed || c.Outcome == shuin.Unknown) {
				out = append(out, reasonFor(c.Name, c.Err))
			}
		}
		if s.Err != nil {
			out = append(out, reasonFor("", s.Err))
		}
	}
	if r.Err != nil {
		out = append(out, reasonFor("", r.Err))
	}
	if len(out) == 0 {
		out = append(out, reason{Text: "result " + string(r.Result)})
	}
	return out
}

func shuinChain(in chainCase) error {
	chain, err := envelope.ParseChain(in.Chain)
	if err != nil {
		return err
	}
	purpose := envelope.CodeSigning
	if in.Purpose == "timestamping" {
		purpose = envelope.Timestamping
	}
	if err := envelope.CheckChain(chain, purpose); err != nil {
		return err
	}
	return envelope.CheckLinks(chain, nil)
}

func shuinPolicy(in policyCase) error {
	if in.Type == "blob" {
		_, err := policy.ParseBlob([]byte(in.Document))
		return err
	}
	doc, err := policy.ParseOCI([]byte(in.Document))
	if err != nil || in.Reference == "" {
		return err
	}
	ref, err := shuin.ParseReference(in.Reference)
	if err != nil {
		return err
	}
	s, _, err := doc.Select(ref.Name())
	if err == nil && in.Statement != "" && s.Name != in.Statement {
		err = fmt.Errorf("selected %q", s.Name)
	}
	return err
}

func shuinResolution(in resolutionCase) error {
	_, err := artifactOf(in.Reference, in.Descriptor)
	return err
}

func shuinRevocation(t *testing.T, in revocationCase, now time.Time) []reason {
	chain, err := parseCertificates(in.Chain)
	if err != nil {
		return []reason{reasonFor("", err)}
	}
	found := newRevoker(t, in.Answers).Check(t.Context(), chain, envelope.CodeSigning, now, in.At)
	var out []reason
	for i, want := range in.Status {
		is := map[verify.Status]string{verify.StatusGood: "good", verify.StatusNoSource: "no-source", verify.StatusRevoked: "revoked", verify.StatusUnavailable: "unavailable"}[found[i].Status]
		if is != want && (is == "revoked" || is == "unavailable" || want == "revoked" || want == "unavailable") {
			t.Errorf("certificate %d is %s, want %s: %v", i, is, want, found[i].Err)
		}
		switch is {
		case "revoked":
			out = append(out, reason{Code: "revoked", Text: fmt.Sprintf("revoked, reason %d", found[i].Reason)})
		case "unavailable":
			out = append(out, reason{Code: "revocation-unavailable", Text: found[i].Err.Error()})
		}
	}
	return out
}

func shuinStore(t *testing.T, in storeCase) error {
	root := writeTree(t, in.Files, "truststore", "x509")
	name, err := trust.ParseStoreName(in.Store)
	if err != nil {
		return err
	}
	s, err := notationdir.New(root, root, root).Store(t.Context(), name)
	if err != nil {
		return err
	}
	return sameCertificates(s.Certificates(), in.Certificates)
}

// memoryKey is a sign.Key from a vector.
type memoryKey struct {
	algorithm envelope.Algorithm
	sign      func([]byte) ([]byte, error)
	chain     [][]byte
}

func (k memoryKey) Algorithm(context.Context) (envelope.Algorithm, error) { return k.algorithm, nil }

func (k memoryKey) Sign(_ context.Context, signed []byte) ([]byte, [][]byte, error) {
	sig, err := k.sign(signed)
	return sig, k.chain, err
}

func shuinSign(ctx context.Context, in signCase, now time.Time) error {
	parsed, err := x509.ParsePKCS8PrivateKey(in.Key)
	if err != nil {
		return err
	}
	key, err := newMemoryKey(parsed, in.Chain)
	if err != nil {
		return err
	}
	a, err := artifactOf("registry.example/app@"+in.Artifact.Digest, in.Artifact)
	if err != nil {
		return err
	}
	s := &sign.Signer{Key: key, Agent: "vectors"}
	_, err = s.Sign(ctx, a, sign.Options{MediaType: in.MediaType, Time: now, Metadata: in.UserMetadata, Expiry: time.Duration(in.ExpirySeconds) * time.Second})
	return err
}

// shuinManifest serves the manifest from a registry that does what the vector
// says, and asks for the artifact's signatures.
func shuinManifest(t *testing.T, in manifestCase) error {
	server := httptest.NewServer(manifestRegistry(in))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	client := &registry.Client{PlainHTTP: func(string) bool { return true }}
	ref, err := shuin.ParseReference(host + "/app@" + in.Artifact.Digest)
	if err != nil {
		return err
	}
	repo, err := client.Repository(ref)
	if err != nil {
		return err
	}
	a, sigs, err := repo.Discover(t.Context(), ref)
	if err != nil {
		return err
	}
	found, _, err := sigs.Signatures(t.Context(), a, 10)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: fmt.Sprintf("%d signatures found", len(found))}
	}
	if found[0].Err == nil && !slices.Equal(found[0].Envelope, in.Envelope.content()) {
		return errors.New("another envelope")
	}
	return strip(found[0].Err, host)
}

// strip takes the address of this run out of a message.
func strip(err error, host string) error {
	if err == nil {
		return nil
	}
	return &shuin.Error{Code: shuin.CodeOf(err), Message: strings.ReplaceAll(err.Error(), host, "HOST")}
}

func manifestRegistry(in manifestCase) http.Handler {
	sum := sha256.Sum256([]byte(in.Manifest))
	dgst := "sha256:" + hex.EncodeToString(sum[:])
	var m struct {
		MediaType    string            `json:"mediaType"`
		ArtifactType string            `json:"artifactType"`
		Annotations  map[string]string `json:"annotations"`
		Layers       []descriptorJSON  `json:"layers"`
	}
	_ = json.Unmarshal([]byte(in.Manifest), &m)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve := func(mediaType, dgst string, body []byte) {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Docker-Content-Digest", dgst)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			if r.Method != http.MethodHead {
				_, _ = w.Write(body)
			}
		}
		_, last, _ := strings.Cut(r.URL.Path, "/v2/app/")
		switch {
		case last == "manifests/"+in.Artifact.Digest && r.Method == http.MethodHead:
			w.Header().Set("Content-Type", in.Artifact.MediaType)
			w.Header().Set("Docker-Content-Digest", in.Artifact.Digest)
			w.Header().Set("Content-Length", fmt.Sprint(in.Artifact.Size))
		case last == "referrers/"+in.Artifact.Digest:
			w.Header().Set("OCI-Filters-Applied", "artifactType")
			index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
				"manifests": []any{map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": dgst, "size": len(in.Manifest),
					"artifactType": shuin.ArtifactTypeSignature, "annotations": m.Annotations}}})
			serve("application/vnd.oci.image.index.v1+json", "", index)
		case last == "manifests/"+dgst:
			serve(m.MediaType, dgst, []byte(in.Manifest))
		case strings.HasPrefix(last, "blobs/"):
			serve("application/octet-stream", strings.TrimPrefix(last, "blobs/"), in.Envelope.content())
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}
