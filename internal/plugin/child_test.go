package plugin_test

import (
	"bufio"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/shuintest"
)

// TestMain lets the test binary be every plugin of these tests: linked into a
// plugin directory, it does what its name says.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "notation-"); ok {
		os.Exit(child(name, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// seen is what a plugin process was given.
type seen struct {
	Args []string
	Env  []string
	In   json.RawMessage
}

const keyID = "key-1"

func child(name string, args []string) int {
	dir := filepath.Dir(os.Args[0])
	if len(args) == 1 && args[0] == "grandchild" {
		time.Sleep(time.Hour)
	}
	in, err := io.ReadAll(os.Stdin)
	if err != nil || len(args) != 1 {
		return 2
	}
	note, _ := json.Marshal(seen{os.Args, os.Environ(), in})
	if err := os.WriteFile(filepath.Join(dir, args[0]+".seen"), note, 0o600); err != nil {
		return 2
	}
	if args[0] == "get-plugin-metadata" && !strings.HasPrefix(name, "meta-") {
		return answer(metadata(name))
	}
	if f, ok := misbehaviours[name]; ok {
		return f(dir, args[0], in)
	}
	return behave(dir, args[0], in)
}

func answer(v any) int {
	if json.NewEncoder(os.Stdout).Encode(v) != nil {
		return 2
	}
	return 0
}

func metadata(name string) map[string]any {
	if strings.HasPrefix(name, "blob-") {
		return map[string]any{
			"name": name, "description": "d", "version": "1.2.3", "url": "https://example.com",
			"supportedContractVersions": []string{"1.0"}, "capabilities": []string{"SIGNATURE_GENERATOR.ENVELOPE_FOR_BLOB"},
		}
	}
	return map[string]any{
		"name": name, "description": "d", "version": "1.2.3", "url": "https://example.com", "later": 1,
		"supportedContractVersions": []string{"1.0"},
		"capabilities":              []string{"SIGNATURE_GENERATOR.RAW", "SIGNATURE_GENERATOR.ENVELOPE", "SIGNATURE_VERIFIER.TRUSTED_IDENTITY"},
	}
}

type request struct {
	KeyID                 string
	KeySpec               string
	HashAlgorithm         string
	Payload               []byte
	PayloadType           string
	SignatureEnvelopeType string
	Expiry                int64 `json:"expiryDurationInSeconds"`
	Signature             struct {
		UnprocessedAttributes []string
	}
	TrustPolicy struct{ SignatureVerification []string }
}

// behave is a good plugin, with the key and chain that the test put into dir.
func behave(dir, command string, in []byte) int {
	var req request
	if err := json.Unmarshal(in, &req); err != nil {
		return 2
	}
	chain, err := loadChain(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	alg, err := envelope.AlgorithmOf(chain.Key().Public())
	if err != nil {
		return 2
	}
	switch command {
	case "describe-key":
		return answer(map[string]any{"keyId": req.KeyID, "keySpec": alg.KeySpec()})
	case "generate-signature":
		return answer(rawAnswer(req, alg, chain, req.Payload))
	case "generate-envelope":
		o := shuintest.EnvelopeOptions{MediaType: req.SignatureEnvelopeType, Chain: chain, Payload: req.Payload}
		return answer(envelopeAnswer(o))
	case "verify-signature":
		results := map[string]any{}
		for _, c := range req.TrustPolicy.SignatureVerification {
			results[c] = map[string]any{"success": true, "reason": "fine\x1b[2J"}
		}
		return answer(map[string]any{"verificationResults": results, "processedAttributes": req.Signature.UnprocessedAttributes})
	}
	return 2
}

func rawAnswer(req request, alg envelope.Algorithm, chain *shuintest.Chain, payload []byte) map[string]any {
	sig, err := alg.Sign(chain.Key(), payload)
	if err != nil {
		return nil
	}
	return map[string]any{"keyId": req.KeyID, "signature": sig, "signingAlgorithm": alg.String(), "certificateChain": chain.DER}
}

func envelopeAnswer(o shuintest.EnvelopeOptions) map[string]any {
	return map[string]any{
		"signatureEnvelope": shuintest.MustEnvelope(o), "signatureEnvelopeType": o.MediaType, "annotations": map[string]string{"a": "b"},
	}
}

// misbehaviours are plugins that tell their metadata and then do wrong.
var misbehaviours = map[string]func(dir, command string, in []byte) int{
	"hang":      func(string, string, []byte) int { time.Sleep(time.Hour); return 0 },
	"flood":     func(string, string, []byte) int { return flood(os.Stdout) },
	"flood-err": func(string, string, []byte) int { return flood(os.Stderr) },
	"not-json":  func(string, string, []byte) int { fmt.Println("hello"); return 0 },
	"two-answers": func(dir, command string, in []byte) int {
		return max(behave(dir, command, in), behave(dir, command, in))
	},
	"silent": func(string, string, []byte) int { return 0 },
	"fails":  func(string, string, []byte) int { fmt.Fprintln(os.Stderr, "no \x1b[31mluck"); return 1 },
	"crash":  func(string, string, []byte) int { return 139 },
	"denied": func(string, string, []byte) int {
		fmt.Fprintln(os.Stderr, `{"errorCode":"ACCESS_DENIED","errorMessage":"not \u001byou","errorMetadata":{"k":"v"}}`)
		return 1
	},
	"throttled": func(string, string, []byte) int {
		fmt.Fprintln(os.Stderr, `{"errorCode":"THROTTLED","errorMessage":"slow down"}`)
		return 1
	},
	"daemon": func(dir, command string, in []byte) int {
		// What it leaves behind holds stdout and stderr.
		grandchild := exec.Command(os.Args[0], "grandchild")
		grandchild.Stdout, grandchild.Stderr = os.Stdout, os.Stderr
		if err := grandchild.Start(); err != nil {
			return 2
		}
		_ = os.WriteFile(filepath.Join(dir, "grandchild.pid"), fmt.Append(nil, grandchild.Process.Pid), 0o600)
		return behave(dir, command, in)
	},
	"other-key": func(dir, command string, in []byte) int {
		return answer(map[string]any{"keyId": "another", "keySpec": "EC-256"})
	},
	"other-spec": func(dir, command string, in []byte) int {
		return answer(map[string]any{"keyId": keyID, "keySpec": "EC-224"})
	},
	"raw-other-key":       raw(func(m map[string]any, _ request) { m["keyId"] = "another" }),
	"raw-other-algorithm": raw(func(m map[string]any, _ request) { m["signingAlgorithm"] = "RSASSA-PSS-SHA-256" }),
	"raw-no-algorithm":    raw(func(m map[string]any, _ request) { m["signingAlgorithm"] = "RSASSA-PKCS1-v1_5" }),
	"raw-no-chain":        raw(func(m map[string]any, _ request) { m["certificateChain"] = nil }),
	"raw-long-chain":      raw(func(m map[string]any, _ request) { m["certificateChain"] = make([][]byte, 1000) }),
	"raw-case":            raw(func(m map[string]any, _ request) { m["KeyID"] = m["keyId"]; delete(m, "keyId") }),
	"raw-other-cert": raw(func(m map[string]any, _ request) {
		m["certificateChain"] = shuintest.MustChain(shuintest.ChainOptions{Family: 5}).DER
	}),
	"raw-bad-chain": raw(func(m map[string]any, _ request) {
		chain := m["certificateChain"].([][]byte)
		m["certificateChain"] = [][]byte{chain[0], chain[2], chain[1]}
	}),
	"raw-changed-payload": func(dir, command string, in []byte) int {
		var req request
		chain, err := loadChain(dir)
		if err != nil || json.Unmarshal(in, &req) != nil || command != "generate-signature" {
			return behave(dir, command, in)
		}
		return answer(rawAnswer(req, envelope.ES256, chain, append(req.Payload, '!')))
	},
	"env-other-type":  env(nil, func(m map[string]any) { m["signatureEnvelopeType"] = "application/x" }),
	"env-no-envelope": env(nil, func(m map[string]any) { m["signatureEnvelope"] = []byte("{}") }),
	"env-annotated": env(func(o *shuintest.EnvelopeOptions) {
		o.Payload = shuintest.Payload(target.MediaType, string(target.Digest), target.Size, map[string]string{"user": "data", "extra": "note"})
	}, nil),
	"env-replaced": env(func(o *shuintest.EnvelopeOptions) {
		o.Payload = shuintest.Payload(target.MediaType, string(target.Digest), target.Size, map[string]string{"user": "changed"})
	}, nil),
	"env-dropped": env(func(o *shuintest.EnvelopeOptions) {
		o.Payload = shuintest.Payload(target.MediaType, string(target.Digest), target.Size, nil)
	}, nil),
	"env-other-artifact": env(func(o *shuintest.EnvelopeOptions) {
		o.Payload = shuintest.Payload(target.MediaType, "sha256:"+strings.Repeat("0", 64), target.Size, target.Annotations)
	}, nil),
	"env-more-members": env(func(o *shuintest.EnvelopeOptions) {
		o.Payload = []byte(strings.Replace(string(o.Payload), `"size"`, `"trust":"me","size"`, 1))
	}, nil),
	"env-tampered": env(func(o *shuintest.EnvelopeOptions) {
		o.Signature = func(s []byte) []byte { s[0] ^= 1; return s }
	}, nil),
	"env-weak-cert": env(func(o *shuintest.EnvelopeOptions) {
		o.Chain = shuintest.MustChain(shuintest.ChainOptions{Mutate: func(l int, c *x509.Certificate) {
			if l == 0 {
				c.KeyUsage |= x509.KeyUsageCRLSign
			}
		}})
	}, nil),
	"env-timestamp": env(func(o *shuintest.EnvelopeOptions) {
		o.TSA = &shuintest.TSA{Chain: shuintest.MustChain(shuintest.ChainOptions{Timestamping: true}), OmitRoot: true}
	}, nil),
	"env-bad-timestamp": env(func(o *shuintest.EnvelopeOptions) { o.Token = []byte("token") }, nil),
	"no-result": func(string, string, []byte) int {
		return answer(map[string]any{"verificationResults": map[string]any{"X": nil}})
	},
	"refuses": func(string, string, []byte) int {
		return answer(map[string]any{"verificationResults": map[string]any{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY": map[string]any{"reason": "a\nb"}}, "processedAttributes": []any{}})
	},

	"meta-hang":     func(string, string, []byte) int { time.Sleep(time.Hour); return 0 },
	"meta-name":     meta(func(m map[string]any) { m["name"] = "another" }),
	"meta-version":  meta(func(m map[string]any) { m["version"] = "" }),
	"meta-none":     meta(func(m map[string]any) { m["capabilities"] = []string{} }),
	"meta-verifier": meta(func(m map[string]any) { m["capabilities"] = []string{"SIGNATURE_VERIFIER.REVOCATION_CHECK"} }),
	"meta-higher":   meta(func(m map[string]any) { m["supportedContractVersions"] = []string{"1.1"} }),
	"meta-major":    meta(func(m map[string]any) { m["supportedContractVersions"] = []string{"2.0"} }),
	"meta-both":     meta(func(m map[string]any) { m["supportedContractVersions"] = []string{"1.0", "2.3"} }),
	"meta-twice":    meta(func(m map[string]any) { m["supportedContractVersions"] = []string{"1.0", "1.1"} }),
	"meta-odd":      meta(func(m map[string]any) { m["supportedContractVersions"] = []string{"1"} }),
	"meta-no":       meta(func(m map[string]any) { delete(m, "supportedContractVersions") }),
}

func flood(w io.Writer) int {
	b := bufio.NewWriterSize(w, 1<<20)
	for {
		if _, err := b.Write(make([]byte, 1<<20)); err != nil {
			time.Sleep(time.Hour) // it has to be ended
		}
	}
}

func meta(change func(map[string]any)) func(dir, command string, in []byte) int {
	return func(dir, command string, in []byte) int {
		m := metadata(strings.TrimPrefix(filepath.Base(os.Args[0]), "notation-"))
		change(m)
		return answer(m)
	}
}

// raw changes the answer to generate-signature.
func raw(change func(map[string]any, request)) func(dir, command string, in []byte) int {
	return func(dir, command string, in []byte) int {
		var req request
		chain, err := loadChain(dir)
		if err != nil || json.Unmarshal(in, &req) != nil || command != "generate-signature" {
			return behave(dir, command, in)
		}
		m := rawAnswer(req, envelope.ES256, chain, req.Payload)
		change(m, req)
		return answer(m)
	}
}

// env changes what goes into an envelope, or the answer around it.
func env(change func(*shuintest.EnvelopeOptions), after func(map[string]any)) func(dir, command string, in []byte) int {
	return func(dir, command string, in []byte) int {
		var req request
		chain, err := loadChain(dir)
		if err != nil || json.Unmarshal(in, &req) != nil {
			return 2
		}
		o := shuintest.EnvelopeOptions{MediaType: req.SignatureEnvelopeType, Chain: chain, Payload: req.Payload}
		if change != nil {
			change(&o)
		}
		m := envelopeAnswer(o)
		if after != nil {
			after(m)
		}
		return answer(m)
	}
}

// loadChain reads the key and chain that the test stored beside the plugin.
func loadChain(dir string) (*shuintest.Chain, error) {
	data, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	c := &shuintest.Chain{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			c.Certs, c.DER = append(c.Certs, cert), append(c.DER, block.Bytes)
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("key is a %T", key)
		}
		c.Keys = append(c.Keys, signer)
	}
	return c, nil
}

var target = shuin.Descriptor{
	MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: "sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0",
	Size: 32654, Annotations: map[string]string{"user": "data"},
}
