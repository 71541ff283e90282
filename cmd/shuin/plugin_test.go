//go:build unix

package main

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/internal/shuintest"
)

// Plugins of contract 1.0 that these tests run. The keys of the signing ones
// are files that their configuration names.
const (
	pluginInTests   = "scriptkey"      // signs bytes
	envelopeInTests = "scriptenvelope" // makes whole envelopes
	verifierInTests = "scriptverifier" // checks identity and revocation
	blobsInTests    = "scriptblobs"    // makes whole envelopes over blobs
)

type pluginRequest struct {
	KeyID                 string            `json:"keyId"`
	Payload               []byte            `json:"payload"`
	PluginConfig          map[string]string `json:"pluginConfig"`
	SignatureEnvelopeType string            `json:"signatureEnvelopeType"`
	TrustPolicy           struct {
		SignatureVerification []string `json:"signatureVerification"`
	} `json:"trustPolicy"`
}

// pluginCapabilities are what each plugin can.
var pluginCapabilities = map[string][]string{
	pluginInTests:   {"SIGNATURE_GENERATOR.RAW"},
	envelopeInTests: {"SIGNATURE_GENERATOR.ENVELOPE"},
	verifierInTests: {"SIGNATURE_VERIFIER.TRUSTED_IDENTITY", "SIGNATURE_VERIFIER.REVOCATION_CHECK"},
	blobsInTests:    {"SIGNATURE_GENERATOR.ENVELOPE_FOR_BLOB"},
}

func pluginMain() {
	var answer any
	var req pluginRequest
	name := strings.TrimPrefix(filepath.Base(os.Args[0]), "notation-")
	in, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(in, &req)
	}
	if err == nil {
		switch os.Args[1] {
		case "get-plugin-metadata":
			answer = map[string]any{
				"name": name, "description": "signs with a file", "version": "1.0.0", "url": "https://example.com",
				"supportedContractVersions": []string{"1.0"}, "capabilities": pluginCapabilities[name],
			}
		case "describe-key":
			answer = map[string]any{"keyId": req.KeyID, "keySpec": cmp.Or(req.PluginConfig["spec"], "EC-256")}
		case "generate-signature":
			answer, err = pluginSign(&req)
		case "generate-envelope":
			answer, err = pluginEnvelope(&req)
		case "verify-signature":
			answer = pluginVerify(&req)
		default:
			err = fmt.Errorf("unknown command %q", os.Args[1])
		}
	}
	if os.Getenv(envPassword) != "" || os.Getenv(envUsername) != "" {
		err = fmt.Errorf("the registry's password was handed to a plugin")
	}
	if err != nil {
		json.NewEncoder(os.Stderr).Encode(map[string]string{"errorCode": "ERROR", "errorMessage": err.Error()})
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(answer)
}

// pluginVerify passes every check that its configuration does not call failed.
func pluginVerify(req *pluginRequest) any {
	results := map[string]any{}
	for _, check := range req.TrustPolicy.SignatureVerification {
		results[check] = map[string]any{"success": true}
		if reason := req.PluginConfig[check]; reason != "" {
			results[check] = map[string]any{"success": false, "reason": reason}
		}
	}
	return map[string]any{"verificationResults": results, "processedAttributes": []string{}}
}

// pluginEnvelope names the verification plugin that its configuration names.
// "type" is answered as the envelope's type, "spoil" spoils the signature.
func pluginEnvelope(req *pluginRequest) (any, error) {
	chain, err := pluginChain(req.PluginConfig)
	if err != nil {
		return nil, err
	}
	o := shuintest.EnvelopeOptions{MediaType: req.SignatureEnvelopeType, Payload: req.Payload, Chain: chain, Critical: map[string]any{}}
	for option, header := range map[string]string{"verifier": "io.cncf.notary.verificationPlugin", "least": "io.cncf.notary.verificationPluginMinVersion"} {
		if v := req.PluginConfig[option]; v != "" {
			o.Critical[header] = v
		}
	}
	if req.PluginConfig["spoil"] != "" {
		o.Signature = func(s []byte) []byte { s[0] ^= 1; return s }
	}
	b, err := shuintest.NewEnvelope(o)
	if err != nil {
		return nil, err
	}
	return map[string]any{"signatureEnvelope": b, "signatureEnvelopeType": cmp.Or(req.PluginConfig["type"], req.SignatureEnvelopeType)}, nil
}

// pluginChain reads the key and chain that a configuration names.
func pluginChain(config map[string]string) (*shuintest.Chain, error) {
	keyPEM, err := os.ReadFile(config["key"])
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(config["chain"])
	if err != nil {
		return nil, err
	}
	c := &shuintest.Chain{Keys: []crypto.Signer{key.(crypto.Signer)}}
	for block, rest := pem.Decode(certPEM); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		c.Certs, c.DER = append(c.Certs, cert), append(c.DER, block.Bytes)
	}
	return c, nil
}

// pluginSign signs. "answers" is the key that it says it used, "spoil" spoils
// the signature.
func pluginSign(req *pluginRequest) (any, error) {
	chain, err := pluginChain(req.PluginConfig)
	if err != nil {
		return nil, err
	}
	signature, err := shuintest.Sign(chain.Key(), req.Payload)
	if err != nil {
		return nil, err
	}
	if req.PluginConfig["spoil"] != "" {
		signature[0] ^= 1
	}
	return map[string]any{"keyId": cmp.Or(req.PluginConfig["answers"], req.KeyID), "signature": signature, "signingAlgorithm": "ECDSA-SHA-256", "certificateChain": chain.DER}, nil
}

// cmdPlugin installs the plugin of these tests: plugin.
func cmdPlugin(ts *testscript.TestScript, _ bool, _ []string) {
	path, err := exec.LookPath("notation-" + pluginInTests)
	check(ts, err)
	b, err := os.ReadFile(path)
	check(ts, err)
	dir := filepath.Join(ts.Getenv("CONFIG"), "plugins", pluginInTests)
	check(ts, os.MkdirAll(dir, 0o755))
	check(ts, os.WriteFile(filepath.Join(dir, "notation-"+pluginInTests), b, 0o755))
}

// blob reads a blob of the dev registry.
func blob(ts *testscript.TestScript, repo, digest string) []byte {
	rec := httptest.NewRecorder()
	worldOf(ts).registry.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v2/"+repo+"/blobs/"+digest, nil))
	if rec.Code != http.StatusOK {
		ts.Fatalf("blob %s: %d", digest, rec.Code)
	}
	return rec.Body.Bytes()
}
