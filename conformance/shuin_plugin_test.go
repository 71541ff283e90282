package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	upstreamplugin "github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/signer"
	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/sign"
)

// TestMain plays the signing plugin when the test binary is called as one.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "notation-example") {
		if err := playPlugin(os.Args[1], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, `{"errorCode":"ERROR","errorMessage":%q}`, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func shuinPlugin(t *testing.T, in pluginCase) error {
	host := &plugin.Host{Dir: writePlugin(t, in)}
	if in.Ask == "metadata" {
		_, err := host.Open(t.Context(), in.Name, nil)
		return err
	}
	key, err := host.RawKey(t.Context(), in.Name, "key-1", nil)
	if err != nil {
		return err
	}
	_, err = key.Algorithm(t.Context())
	return err
}

type signPluginCase struct {
	Command      string            `json:"command"`
	Key          []byte            `json:"key"`
	Chain        [][]byte          `json:"chain"`
	Fault        string            `json:"fault"`
	UserMetadata map[string]string `json:"userMetadata"`
}

// installSigner puts the test binary where the plugin should be, and the
// vector where the plugin reads it.
func installSigner(t *testing.T, v *vector) (root string, config map[string]string) {
	t.Helper()
	root = t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "example", "notation-example")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, path); err != nil {
		data, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	vectorPath := filepath.Join(t.TempDir(), "vector.json")
	if err := os.WriteFile(vectorPath, v.Input, 0o600); err != nil {
		t.Fatal(err)
	}
	return root, map[string]string{"vector": vectorPath}
}

var pluginArtifact = descriptorJSON{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("plugin").String(), Size: 6}

func shuinSignPlugin(t *testing.T, v *vector) error {
	in := input[signPluginCase](t, v)
	root, config := installSigner(t, v)
	host := &plugin.Host{Dir: root}
	s := &sign.Signer{Agent: "vectors"}
	if in.Command == "generate-envelope" {
		e, err := host.Enveloper(t.Context(), "example", "key-1", config)
		if err != nil {
			return err
		}
		s.Enveloper = e
	} else {
		k, err := host.RawKey(t.Context(), "example", "key-1", config)
		if err != nil {
			return err
		}
		s.Key = k
	}
	a, err := artifactOf("registry.example/app@"+pluginArtifact.Digest, pluginArtifact)
	if err != nil {
		return err
	}
	_, err = s.Sign(t.Context(), a, sign.Options{MediaType: shuin.MediaTypeJWS, Time: time.Now(), Metadata: in.UserMetadata, PluginConfig: config})
	return err
}

func upstreamSignPlugin(t *testing.T, v *vector) error {
	in := input[signPluginCase](t, v)
	root, config := installSigner(t, v)
	p, err := upstreamplugin.NewCLIManager(dir.NewSysFS(root)).Get(t.Context(), "example")
	if err != nil {
		return err
	}
	s, err := signer.NewPluginSigner(p, "key-1", config)
	if err != nil {
		return err
	}
	repo := &sinkRepository{desc: ocispec.Descriptor{MediaType: pluginArtifact.MediaType, Digest: digest.Digest(pluginArtifact.Digest), Size: pluginArtifact.Size}}
	_, err = notation.Sign(context.Background(), s, repo, notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: shuin.MediaTypeJWS},
		ArtifactReference: "registry.example/app@" + pluginArtifact.Digest, UserMetadata: in.UserMetadata})
	return err
}

// playPlugin is the plugin's process.
func playPlugin(command string, stdin io.Reader, stdout io.Writer) error {
	request, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	var common struct {
		Config map[string]string `json:"pluginConfig"`
	}
	if err := json.Unmarshal(request, &common); err != nil {
		return err
	}
	var in signPluginCase
	data, err := os.ReadFile(common.Config["vector"])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	private, err := x509.ParsePKCS8PrivateKey(in.Key)
	if err != nil {
		return err
	}
	key := signerKey{private.(*ecdsa.PrivateKey)}
	var answer any
	switch command {
	case "get-plugin-metadata":
		c := framework.CapabilitySignatureGenerator
		if in.Command == "generate-envelope" {
			c = framework.CapabilityEnvelopeGenerator
		}
		answer = framework.GetMetadataResponse{Name: "example", Description: "d", Version: "1.0.0", URL: "https://example.com",
			SupportedContractVersions: []string{"1.0"}, Capabilities: []framework.Capability{c}}
	case "describe-key":
		answer = framework.DescribeKeyResponse{KeyID: "key-1", KeySpec: framework.KeySpecEC256}
	case "generate-signature":
		var r framework.GenerateSignatureRequest
		if err := json.Unmarshal(request, &r); err != nil {
			return err
		}
		answer = playSignature(in, key, r)
	case "generate-envelope":
		var r framework.GenerateEnvelopeRequest
		if err := json.Unmarshal(request, &r); err != nil {
			return err
		}
		answer = playEnvelope(in, key, r)
	default:
		return errors.New("unknown command")
	}
	return json.NewEncoder(stdout).Encode(answer)
}

func playSignature(in signPluginCase, key signerKey, r framework.GenerateSignatureRequest) framework.GenerateSignatureResponse {
	message := r.Payload
	if in.Fault == "other-payload" {
		message = append(message, '!')
	}
	sig := key.sign(envelope.ES256.Hash(), message)
	a := framework.GenerateSignatureResponse{KeyID: r.KeyID, Signature: sig, SigningAlgorithm: framework.SignatureAlgorithmECDSA_SHA256, CertificateChain: in.Chain}
	switch in.Fault {
	case "other-key-id":
		a.KeyID = "key-2"
	case "other-algorithm":
		a.SigningAlgorithm = framework.SignatureAlgorithmECDSA_SHA384
	case "broken-signature":
		a.Signature[7] ^= 1
	}
	return a
}

func playEnvelope(in signPluginCase, key signerKey, r framework.GenerateEnvelopeRequest) framework.GenerateEnvelopeResponse {
	payload := string(r.Payload)
	switch in.Fault {
	case "annotation-added":
		payload = strings.Replace(payload, `"annotations":{`, `"annotations":{"io.example.added":"x",`, 1)
	case "annotation-replaced":
		payload = strings.Replace(payload, `"io.example.build":"7"`, `"io.example.build":"8"`, 1)
	case "annotation-removed":
		payload = strings.Replace(payload, `"io.example.build":"7"`, "", 1)
	case "other-digest":
		payload = strings.Replace(payload, pluginArtifact.Digest, digest.FromString("other").String(), 1)
	}
	contentType := r.PayloadType
	if in.Fault == "other-content-type" {
		contentType = "application/json"
	}
	x5c, _ := json.Marshal(in.Chain)
	m := &jwsMutant{resign: true, hash: envelope.ES256.Hash(), payload: []byte(payload), header: []pair{{"x5c", string(x5c)}},
		protected: fmt.Appendf(nil, `{"alg":"ES256","cty":%q,"crit":["io.cncf.notary.signingScheme"],"io.cncf.notary.signingScheme":"notary.x509","io.cncf.notary.signingTime":%q}`,
			contentType, time.Now().UTC().Format(time.RFC3339))}
	if in.Fault == "broken-signature" {
		m.sig = key.sign(m.hash, []byte("something else"))
		m.resign = false
	}
	a := framework.GenerateEnvelopeResponse{SignatureEnvelope: m.seal(key), SignatureEnvelopeType: r.SignatureEnvelopeType}
	if in.Fault == "other-type" {
		a.SignatureEnvelopeType = shuin.MediaTypeCOSE
	}
	return a
}
