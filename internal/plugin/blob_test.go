package plugin_test

import (
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/plugin"
	"github.com/shuin/shuin/sign"
)

func TestBlobEnvelopersTellTheirKeyAndSign(t *testing.T) {
	h := install(t, "blob-good")
	p, err := h.Open(t.Context(), "blob-good", nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.BlobEnveloper(keyID, map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if alg, err := e.Algorithm(t.Context()); err != nil || alg != envelope.ES256 {
			t.Fatalf("PLG-08 Algorithm is %v, %v", alg, err)
		}
	}
	if in, want := string(given(t, h, "blob-good", "describe-key").In), `{"contractVersion":"1.0","keyId":"key-1","pluginConfig":{"k":"v"}}`; in != want {
		t.Errorf("PLG-08 request is\n%s, want\n%s", in, want)
	}
	resp, err := e.Envelope(t.Context(), envelopeRequest(t, shuin.MediaTypeJWS))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Parse(shuin.MediaTypeJWS, resp.Envelope); err != nil {
		t.Error(err)
	}
	var _ sign.BlobEnveloper = e

	_, err = p.BlobEnveloper("", nil)
	wantError(t, err, shuin.CodeInvalidInput, "no key id")
	_, err = p.Enveloper(keyID, nil)
	wantError(t, err, shuin.CodePluginFailed, "does not have")
}

func TestPLG08PluginsWithoutTheCapabilitySignNoBlobs(t *testing.T) {
	h := install(t, "good")
	p, err := h.Open(t.Context(), "good", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.BlobEnveloper(keyID, nil)
	wantError(t, err, shuin.CodePluginFailed, "does not have the capability "+plugin.CapabilityEnvelopeForBlob)
	wantError(t, p.SignsNoBlobs(), shuin.CodePluginFailed, `the plugin "good" lacks the signature generator capability required for blob signing`)
}
