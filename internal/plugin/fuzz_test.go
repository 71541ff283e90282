package plugin

import (
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/sign"
)

// FuzzPluginAnswer reads the same bytes as the answer to every command.
func FuzzPluginAnswer(f *testing.F) {
	for _, s := range []string{
		`{"name":"n","description":"d","version":"1.0.0","url":"u","supportedContractVersions":["1.0","2.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`,
		`{"keyId":"k","keySpec":"EC-256"}`,
		`{"keyId":"k","signature":"AAAA","signingAlgorithm":"ECDSA-SHA-256","certificateChain":["MAA=","MAA="]}`,
		`{"signatureEnvelope":"e30=","signatureEnvelopeType":"application/jose+json","annotations":{"a":"b"}}`,
		`{"verificationResults":{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY":{"success":true,"reason":"r"},"x":null},"processedAttributes":["a",1,null]}`,
		`{"errorCode":"ERROR","errorMessage":"m","errorMetadata":{"k":"v"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := readMetadata("n", data); err == nil && (m.Name != "n" || m.Version == "" || m.Contract != "1.0" || len(m.Capabilities) == 0) {
			t.Fatalf("accepted %+v", m)
		}
		if alg, err := readKey("k", data); err == nil && alg.Hash() == 0 {
			t.Fatalf("accepted algorithm %v", alg)
		}
		if _, _, err := readSignature("k", envelope.ES256, []byte("signed"), data); err == nil {
			t.Fatal("accepted a signature that nobody made")
		}
		if _, err := readEnvelope(sign.EnvelopeRequest{MediaType: shuin.MediaTypeJWS, Payload: []byte(`{}`)}, data); err == nil {
			t.Fatal("accepted an envelope over another payload")
		}
		if r, err := readVerification(data); err == nil && r.Results == nil {
			t.Fatal("accepted without results")
		}
		e := &Error{Err: errTooLong}
		e.read(data, true)
		for _, r := range e.Error() {
			if r < ' ' {
				t.Fatalf("error %q holds control characters", e.Error())
			}
		}
	})
}
