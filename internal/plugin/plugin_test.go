package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/verify"
)

// install puts the test binary into a plugin directory under each name.
func install(t testing.TB, names ...string) *plugin.Host {
	t.Helper()
	h := &plugin.Host{Dir: t.TempDir()}
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	for _, name := range names {
		dir := filepath.Join(h.Dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		copyTo(t, filepath.Join(dir, "notation-"+name+exe()))
		if err := os.WriteFile(filepath.Join(dir, "key.pem"), append(chain.KeyPEM(), chain.PEM()...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

func copyTo(t testing.TB, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Link(self, path) == nil {
		return
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func given(t *testing.T, h *plugin.Host, name, command string) (s seen) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(h.Dir, name, command+".seen"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func wantError(t *testing.T, err error, code shuin.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := shuin.CodeOf(err); got != code {
		t.Errorf("code is %s (%v), want %s", got, err, code)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	for _, r := range err.Error() {
		if r < ' ' || r == 0x7f {
			t.Errorf("error %q holds control characters", err)
			break
		}
	}
}

func TestPluginsAreFoundWhereTheyBelong(t *testing.T) {
	h := install(t, "good")
	ctx := t.Context()
	p, err := h.Open(ctx, "good", map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	want := plugin.Metadata{Name: "good", Description: "d", Version: "1.2.3", URL: "https://example.com", Contract: "1.0",
		Capabilities: []string{"SIGNATURE_GENERATOR.RAW", "SIGNATURE_GENERATOR.ENVELOPE", "SIGNATURE_VERIFIER.TRUSTED_IDENTITY"}}
	if diff := cmp.Diff(want, p.Metadata()); diff != "" {
		t.Error(diff)
	}
	if got := string(given(t, h, "good", "get-plugin-metadata").In); got != `{"pluginConfig":{"k":"v"}}` {
		t.Errorf("request is %s", got)
	}

	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "../good", "good/", "\x00"} {
		_, err := h.Open(ctx, name, nil)
		wantError(t, err, shuin.CodePluginFailed, "not the name of a plugin")
	}
	_, err = h.Open(ctx, "missing", nil)
	wantError(t, err, shuin.CodePluginFailed, "not installed")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	_, err = (&plugin.Host{}).Open(ctx, "good", nil)
	wantError(t, err, shuin.CodePluginFailed, "no plugin directory")
}

func TestPluginFilesThatAreRefused(t *testing.T) {
	cases := []struct {
		name, want string
		spoil      func(t *testing.T, dir, file string) error
	}{
		{"PLG-01 executable is missing", "not found", func(_ *testing.T, _, file string) error { return os.Remove(file) }},
		{"PLG-01 executable is a symlink", "not a regular file", func(_ *testing.T, _, file string) error {
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file))
		}},
		{"PLG-01 executable is a directory", "not a regular file", func(_ *testing.T, _, file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o755))
		}},
		{"PLG-01 executable is not executable", "not executable", func(_ *testing.T, _, file string) error {
			return errors.Join(os.Remove(file), os.WriteFile(file, []byte("x"), 0o644))
		}},
		{"PLG-01 directory is a symlink", "not a directory", func(_ *testing.T, dir, _ string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}},
		{"PLG-01 directory is a file", "not a directory", func(_ *testing.T, dir, _ string) error {
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o755))
		}},
		{"PLG-01 executable is no program", "failed to get-plugin-metadata", func(_ *testing.T, _, file string) error {
			return errors.Join(os.Remove(file), os.WriteFile(file, []byte{0, 1, 2}, 0o755))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := install(t, "good")
			dir := filepath.Join(h.Dir, "good")
			if err := c.spoil(t, dir, filepath.Join(dir, "notation-good"+exe())); err != nil {
				t.Fatal(err)
			}
			_, err := h.Open(t.Context(), "good", nil)
			wantError(t, err, shuin.CodePluginFailed, c.want)
		})
	}
}

func TestListNamesDirectoriesOnly(t *testing.T) {
	h := install(t, "b", "a")
	if err := errors.Join(os.WriteFile(filepath.Join(h.Dir, "file"), nil, 0o644), os.Symlink(filepath.Join(h.Dir, "a"), filepath.Join(h.Dir, "link"))); err != nil {
		t.Fatal(err)
	}
	got, err := h.List()
	if err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("List is %q, %v", got, err)
	}
	if got, err := (&plugin.Host{Dir: filepath.Join(h.Dir, "none")}).List(); len(got) != 0 || err != nil {
		t.Errorf("List of a missing directory is %q, %v", got, err)
	}
	_, err = (&plugin.Host{Dir: filepath.Join(h.Dir, "file")}).List()
	wantError(t, err, shuin.CodePluginFailed, "list plugins")
}

func TestMetadataIsHeldToTheContract(t *testing.T) {
	cases := map[string]string{
		"meta-name":    `"notation-another`,
		"meta-version": "empty version",
		"meta-none":    "empty capabilities",
		"meta-higher":  "needs contract version 1.1",
		"meta-major":   "not in the list of the plugin supported versions",
		"meta-twice":   "more than one contract version 1.x",
		"meta-odd":     "not a contract version",
		"meta-no":      "supported contract versions not specified",
	}
	for name, want := range cases {
		t.Run("PLG-03 PLG-05 "+name, func(t *testing.T) {
			_, err := install(t, name).Metadata(t.Context(), name, nil)
			wantError(t, err, shuin.CodePluginFailed, want)
		})
	}
	t.Run("PLG-03 meta-both", func(t *testing.T) {
		m, err := install(t, "meta-both").Metadata(t.Context(), "meta-both", nil)
		if err != nil || m.Contract != "1.0" {
			t.Errorf("%+v, %v", m, err)
		}
	})
	t.Run("PLG-06 a verifier does not sign", func(t *testing.T) {
		h := install(t, "meta-verifier")
		_, err := h.RawKey(t.Context(), "meta-verifier", keyID, nil)
		wantError(t, err, shuin.CodePluginFailed, "does not have signing capabilities")
		_, err = h.Enveloper(t.Context(), "meta-verifier", keyID, nil)
		wantError(t, err, shuin.CodePluginFailed, "does not have signing capabilities")
	})
}

func TestPluginsGetNoSecrets(t *testing.T) {
	t.Setenv("NOTATION_USERNAME", "user-of-the-registry")
	t.Setenv("NOTATION_PASSWORD", "password-of-the-registry")
	t.Setenv("SHUIN_PLUGIN_TEST", "kept")
	h := install(t, "good")
	key, err := h.RawKey(t.Context(), "good", keyID, map[string]string{"pin": "1234"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := key.Sign(t.Context(), []byte("data")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"get-plugin-metadata", "describe-key", "generate-signature"} {
		s := given(t, h, "good", command)
		if len(s.Args) != 2 || s.Args[1] != command {
			t.Errorf("%s: arguments are %q", command, s.Args)
		}
		if slices.ContainsFunc(s.Env, func(v string) bool { return strings.Contains(v, "of-the-registry") }) {
			t.Errorf("%s: a secret is in the environment", command)
		}
		if !slices.Contains(s.Env, "SHUIN_PLUGIN_TEST=kept") {
			t.Errorf("%s: the rest of the environment is gone", command)
		}
	}
}

func TestRawKeysSign(t *testing.T) {
	h := install(t, "good")
	var traced []string
	h.Trace = func(_ slog.Level, text string) { traced = append(traced, text) }
	key, err := h.RawKey(t.Context(), "good", keyID, map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	alg, err := key.Algorithm(t.Context())
	if err != nil || alg != envelope.ES256 {
		t.Fatalf("Algorithm is %v, %v", alg, err)
	}
	sig, chain, err := key.Sign(t.Context(), []byte("what is signed"))
	if err != nil {
		t.Fatal(err)
	}
	want := shuintest.MustChain(shuintest.ChainOptions{}) // same keys, other certificates
	if len(chain) != 3 || alg.VerifySignature(want.Leaf().PublicKey, []byte("what is signed"), sig) != nil {
		t.Error("the signature does not verify")
	}
	got := string(given(t, h, "good", "generate-signature").In)
	if request := `{"contractVersion":"1.0","keyId":"key-1","keySpec":"EC-256","hashAlgorithm":"SHA-256","payload":"d2hhdCBpcyBzaWduZWQ=","pluginConfig":{"k":"v"}}`; got != request {
		t.Errorf("request is\n%s, want\n%s", got, request)
	}
	if n := len(traced); n != 6 || !strings.HasPrefix(traced[0], "Plugin get-plugin-metadata request: {") || !strings.HasPrefix(traced[5], "Plugin generate-signature response: {") {
		t.Errorf("trace is %q", traced)
	}
	_, err = h.RawKey(t.Context(), "good", "", nil)
	wantError(t, err, shuin.CodeInvalidInput, "no key id")
}

func TestRawSignaturesThatAreRefused(t *testing.T) {
	cases := map[string]string{
		"other-key":           `keyID in describeKey response "another" does not match request "key-1"`,
		"other-spec":          "unknown key spec",
		"raw-other-key":       `keyID in generateSignature response "another" does not match request "key-1"`,
		"raw-other-algorithm": "plugin signed with RSASSA-PSS-SHA-256",
		"raw-no-algorithm":    "unknown signature algorithm",
		"raw-no-chain":        "chain is missing",
		"raw-long-chain":      "1000 certificates",
		"raw-case":            `keyID in generateSignature response ""`,
		"raw-other-cert":      "failed verification",
		"raw-bad-chain":       "not issued by the next",
		"raw-changed-payload": "generated signature failed verification: signature is invalid. Error: crypto/ecdsa: verification error",
		"not-json":            "malformed JSON",
		"two-answers":         "malformed JSON",
		"silent":              "malformed JSON",
		"fails":               "exit status 1: no",
		"crash":               "exit status 139",
		"denied":              "ACCESS_DENIED: not",
	}
	for name, want := range cases {
		t.Run("PLG-06 "+name, func(t *testing.T) {
			h := install(t, name)
			key, err := h.RawKey(t.Context(), name, keyID, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = key.Sign(t.Context(), []byte("data"))
			wantError(t, err, shuin.CodePluginFailed, want)
		})
	}
}

func TestPluginErrorsSayWhetherToTryAgain(t *testing.T) {
	h := install(t, "denied", "throttled")
	for name, retry := range map[string]bool{"denied": false, "throttled": true} {
		key, err := h.RawKey(t.Context(), name, keyID, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = key.Algorithm(t.Context())
		var own *plugin.Error
		if !errors.As(err, &own) || own.Retryable() != retry || own.Plugin != name || own.Command != "describe-key" {
			t.Errorf("PLG-12 %s: %+v", name, own)
		}
		if name == "denied" && own.Metadata["k"] != "v" {
			t.Errorf("PLG-12 metadata is %v", own.Metadata)
		}
	}
}

func envelopeRequest(t *testing.T, mediaType string) sign.EnvelopeRequest {
	payload, err := envelope.Payload{TargetArtifact: target}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return sign.EnvelopeRequest{MediaType: mediaType, Payload: payload, PayloadType: shuin.MediaTypePayload, PluginConfig: map[string]string{"b": "request"}}
}

func TestEnvelopersSign(t *testing.T) {
	for _, mt := range []string{shuin.MediaTypeJWS, shuin.MediaTypeCOSE} {
		for _, name := range []string{"good", "env-annotated", "env-timestamp"} {
			t.Run("PLG-07 "+name+" "+mt, func(t *testing.T) {
				h := install(t, name)
				e, err := h.Enveloper(t.Context(), name, keyID, map[string]string{"a": "key", "b": "key"})
				if err != nil {
					t.Fatal(err)
				}
				req := envelopeRequest(t, mt)
				req.ExpirySeconds = 3600
				resp, err := e.Envelope(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if resp.MediaType != mt || resp.Annotations["a"] != "b" {
					t.Errorf("answer is %+v", resp)
				}
				if _, err := envelope.Parse(mt, resp.Envelope); err != nil {
					t.Error(err)
				}
				in := given(t, h, name, "generate-envelope").In
				for _, part := range []string{`"expiryDurationInSeconds":3600`, `"pluginConfig":{"a":"key","b":"request"}`, `"payloadType":"application/vnd.cncf.notary.payload.v1+json"`, `"contractVersion":"1.0"`} {
					if !bytes.Contains(in, []byte(part)) {
						t.Errorf("request %s lacks %s", in, part)
					}
				}
			})
		}
	}
}

func TestEnvelopesThatAreRefused(t *testing.T) {
	cases := map[string]string{
		"env-other-type":     "does not match request",
		"env-no-envelope":    "generated signature failed verification: certificate chain is not present: protected header is missing",
		"env-replaced":       `annotation "user" was changed or left out`,
		"env-dropped":        `annotation "user" was changed or left out`,
		"env-other-artifact": "descriptor subject has changed",
		"env-more-members":   `unknown attribute "trust"`,
		"env-tampered":       "generated signature failed verification: signature is invalid. Error: crypto/ecdsa: verification error",
		"env-weak-cert":      "cRLSign",
		"env-bad-timestamp":  "malformed timestamp token",
		"not-json":           "malformed JSON",
	}
	for name, want := range cases {
		t.Run("PLG-07 "+name, func(t *testing.T) {
			h := install(t, name)
			e, err := h.Enveloper(t.Context(), name, keyID, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.Envelope(t.Context(), envelopeRequest(t, shuin.MediaTypeJWS))
			wantError(t, err, shuin.CodePluginFailed, want)
		})
	}
	t.Run("PLG-07 negative expiry", func(t *testing.T) {
		e, err := install(t, "good").Enveloper(t.Context(), "good", keyID, nil)
		if err != nil {
			t.Fatal(err)
		}
		req := envelopeRequest(t, shuin.MediaTypeJWS)
		req.ExpirySeconds = -1
		_, err = e.Envelope(t.Context(), req)
		wantError(t, err, shuin.CodeInvalidInput, "negative")
	})
}

func TestVerifierPassesEverythingOn(t *testing.T) {
	h := install(t, "good", "refuses", "no-result")
	chain := shuintest.MustChain(shuintest.ChainOptions{})
	expiry := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	env, err := envelope.Parse(shuin.MediaTypeJWS, shuintest.MustEnvelope(shuintest.EnvelopeOptions{
		Chain: chain, Payload: []byte(`{}`), Expiry: expiry,
		Critical: map[string]any{"io.cncf.notary.verificationPlugin": "good", "io.cncf.notary.verificationPluginMinVersion": "1.0.0", "x": 1.5},
	}))
	if err != nil {
		t.Fatal(err)
	}
	req := verify.PluginRequest{
		Envelope: env, Unprocessed: []envelope.Attribute{{Key: "x", Value: 1.5, Critical: true}},
		TrustedIdentities: []string{"*"}, Checks: []string{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY"}, Config: map[string]string{"c": "d"},
	}
	open := func(name string) verify.PluginVerifier {
		v, err := h.Verifier(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := open("good")
	if v.Version() != "1.2.3" || !slices.Contains(v.Capabilities(), "SIGNATURE_VERIFIER.TRUSTED_IDENTITY") {
		t.Errorf("version %s, capabilities %v", v.Version(), v.Capabilities())
	}
	got, err := v.VerifySignature(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := verify.PluginResponse{
		Results:   map[string]verify.PluginResult{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY": {Success: true, Reason: "fine\ufffd[2J"}},
		Processed: []any{"x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	in := string(given(t, h, "good", "verify-signature").In)
	if i := strings.Index(in, `"certificateChain":`); i > 0 {
		in = in[:i] + in[strings.Index(in, `},"trustPolicy"`):]
	}
	const request = `{"contractVersion":"1.0","signature":{"criticalAttributes":{"contentType":"application/vnd.cncf.notary.payload.v1+json",` +
		`"signingScheme":"notary.x509","expiry":"2030-01-02T03:04:05Z","verificationPlugin":"good","verificationPluginMinVersion":"1.0.0",` +
		`"extendedAttributes":{"x":1.5}},"unprocessedAttributes":["x"],},"trustPolicy":{"trustedIdentities":["*"],` +
		`"signatureVerification":["SIGNATURE_VERIFIER.TRUSTED_IDENTITY"]},"pluginConfig":{"c":"d"}}`
	if in != request {
		t.Errorf("PLG-10 request is\n%s, want\n%s", in, request)
	}

	// Without an expiry the zero time is sent, as notation does.
	without := *env
	without.Expiry = time.Time{}
	zero := req
	zero.Envelope = &without
	if _, err := v.VerifySignature(t.Context(), zero); err != nil {
		t.Fatal(err)
	}
	if in := string(given(t, h, "good", "verify-signature").In); !strings.Contains(in, `"expiry":"0001-01-01T00:00:00Z"`) {
		t.Errorf("PLG-10 request without expiry is %s", in)
	}

	got, err = open("refuses").VerifySignature(t.Context(), req)
	if err != nil || got.Results["SIGNATURE_VERIFIER.TRUSTED_IDENTITY"] != (verify.PluginResult{Reason: "a b"}) {
		t.Errorf("PLG-10 a result without success: %+v, %v", got, err)
	}
	got, err = open("no-result").VerifySignature(t.Context(), req)
	if err != nil || len(got.Results) != 0 {
		t.Errorf("PLG-10 a null result: %+v, %v", got, err)
	}
	for _, a := range []envelope.Attribute{{Key: int64(99), Value: "x"}, {Key: "x", Value: []any{1}}} {
		req.Unprocessed = []envelope.Attribute{a}
		_, err = v.VerifySignature(t.Context(), req)
		wantError(t, err, shuin.CodePluginFailed, "cannot be handed to a plugin")
	}
}

func TestAPluginThatHangsIsEnded(t *testing.T) {
	h := install(t, "hang", "meta-hang")
	h.CommandTime, h.MetadataTime = 200*time.Millisecond, 30*time.Second
	key, err := h.RawKey(t.Context(), "hang", keyID, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = key.Algorithm(t.Context())
	wantError(t, err, shuin.CodePluginFailed, "did not answer within 200ms")

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	h.CommandTime = 0
	_, err = key.Algorithm(ctx)
	wantError(t, err, shuin.CodeDeadline, "stopped")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not the caller's deadline", err)
	}

	h.MetadataTime = 200 * time.Millisecond
	_, err = h.Open(t.Context(), "meta-hang", nil)
	wantError(t, err, shuin.CodePluginFailed, "did not answer within 200ms")
}

func TestAPluginThatWritesWithoutEndIsEnded(t *testing.T) {
	for _, name := range []string{"flood", "flood-err"} {
		t.Run("PLG-04 "+name, func(t *testing.T) {
			key, err := install(t, name).RawKey(t.Context(), name, keyID, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = key.Algorithm(t.Context())
			wantError(t, err, shuin.CodeLimit, "more than 67108864 bytes")
		})
	}
}

// TestWhatAPluginLeavesBehindIsEnded: its answer counts, although a process
// that it started still holds its output.
func TestWhatAPluginLeavesBehindIsEnded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	h := install(t, "daemon")
	key, err := h.RawKey(t.Context(), "daemon", keyID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if alg, err := key.Algorithm(t.Context()); err != nil || alg != envelope.ES256 {
		t.Fatalf("%v, %v", alg, err)
	}
	pid, err := os.ReadFile(filepath.Join(h.Dir, "daemon", "grandchild.pid"))
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s is still there", pid)
}
