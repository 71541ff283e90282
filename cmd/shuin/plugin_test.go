//go:build unix

package main

import (
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

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shuin/shuin/internal/shuintest"
)

// pluginInTests is a raw signing plugin: the key and chain are files that its
// configuration names.
const pluginInTests = "scriptkey"

type pluginRequest struct {
	KeyID        string            `json:"keyId"`
	Payload      []byte            `json:"payload"`
	PluginConfig map[string]string `json:"pluginConfig"`
}

func pluginMain() {
	var answer any
	var req pluginRequest
	in, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(in, &req)
	}
	if err == nil {
		switch os.Args[1] {
		case "get-plugin-metadata":
			answer = map[string]any{
				"name": pluginInTests, "description": "signs with a file", "version": "1.0.0", "url": "https://example.com",
				"supportedContractVersions": []string{"1.0"}, "capabilities": []string{"SIGNATURE_GENERATOR.RAW"},
			}
		case "describe-key":
			answer = map[string]any{"keyId": req.KeyID, "keySpec": "EC-256"}
		case "generate-signature":
			answer, err = pluginSign(&req)
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

func pluginSign(req *pluginRequest) (any, error) {
	keyPEM, err := os.ReadFile(req.PluginConfig["key"])
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signature, err := shuintest.Sign(key.(crypto.Signer), req.Payload)
	if err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(req.PluginConfig["chain"])
	if err != nil {
		return nil, err
	}
	var chain [][]byte
	for block, rest := pem.Decode(certPEM); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block.Bytes)
	}
	return map[string]any{"keyId": req.KeyID, "signature": signature, "signingAlgorithm": "ECDSA-SHA-256", "certificateChain": chain}, nil
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
