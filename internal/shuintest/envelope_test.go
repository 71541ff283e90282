package shuintest

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"testing"
)

func TestCBOREncodesTheExamplesOfRFC8949(t *testing.T) {
	for want, v := range map[string]any{
		"00": 0, "17": 23, "1818": 24, "1903e8": 1000, "1a000f4240": 1000000, "1b000000e8d4a51000": 1000000000000,
		"20": -1, "3903e7": -1000, "f4": false, "f6": nil, "4401020304": []byte{1, 2, 3, 4}, "6449455446": "IETF",
		"83010203": []any{1, 2, 3}, "a26161016162820203": map[any]any{"a": 1, "b": []any{2, 3}},
		"c11a514b67b0": Tagged{1, 1363896240}, "fb3ff199999999999a": 1.1,
	} {
		if got := hex.EncodeToString(CBOR(v)); got != want {
			t.Errorf("CBOR(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestAJWSIsSignedOverItsProtectedHeaderAndPayload(t *testing.T) {
	chain := MustChain(ChainOptions{})
	env := MustEnvelope(EnvelopeOptions{Chain: chain, Payload: Payload("m", "sha256:00", 1, nil)})
	var m struct{ Payload, Protected, Signature string }
	if err := json.Unmarshal(env, &m); err != nil {
		t.Fatal(err)
	}
	sig, err := base64.RawURLEncoding.DecodeString(m.Signature)
	if err != nil || len(sig) != 64 {
		t.Fatalf("signature of %d bytes: %v", len(sig), err)
	}
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	signed := digestOf(P256.Hash(), []byte(m.Protected+"."+m.Payload))
	if !ecdsa.Verify(chain.Leaf().PublicKey.(*ecdsa.PublicKey), signed, r, s) {
		t.Error("the signature does not fit")
	}
}

func TestTamperingChangesWhatItSays(t *testing.T) {
	chain := MustChain(ChainOptions{})
	for _, mt := range []string{MediaTypeJWS, MediaTypeCOSE} {
		env := MustEnvelope(EnvelopeOptions{MediaType: mt, Chain: chain, Payload: Payload("m", "sha256:00", 1, nil)})
		for name, tamper := range map[string]func(string, []byte) ([]byte, error){"payload": TamperPayload, "signature": TamperSignature} {
			got, err := tamper(mt, env)
			if err != nil || bytes.Equal(got, env) {
				t.Errorf("%s %s: unchanged, or %v", mt, name, err)
			}
		}
	}
}
