package shuintest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// EditJWS decodes a JWS envelope, lets change edit its members and encodes it
// again. Nothing is signed anew.
func EditJWS(env []byte, change func(members map[string]any)) ([]byte, error) {
	var m map[string]any
	if err := json.Unmarshal(env, &m); err != nil {
		return nil, fmt.Errorf("edit JWS: %w", err)
	}
	change(m)
	return json.Marshal(m)
}

// TamperPayload changes one character of the digest inside an envelope's
// payload and leaves everything else as it is: the envelope parses, the
// signature no longer fits.
func TamperPayload(mediaType string, env []byte) ([]byte, error) {
	if mediaType == MediaTypeCOSE {
		return flipDigest(env)
	}
	var failed error
	out, err := EditJWS(env, func(m map[string]any) {
		s, _ := m["payload"].(string)
		payload, err := base64.RawURLEncoding.DecodeString(s)
		if err == nil {
			payload, err = flipDigest(payload)
		}
		failed = err
		m["payload"] = base64.RawURLEncoding.EncodeToString(payload)
	})
	return out, errors.Join(failed, err)
}

func flipDigest(data []byte) ([]byte, error) {
	mark := []byte(`"sha256:`)
	i := bytes.Index(data, mark)
	if i < 0 || i+len(mark) >= len(data) {
		return nil, errors.New("the payload names no sha256 digest")
	}
	out := bytes.Clone(data)
	at := i + len(mark)
	if out[at] == '0' {
		out[at] = '1'
	} else {
		out[at] = '0'
	}
	return out, nil
}

// TamperSignature flips one bit of an envelope's primitive signature.
func TamperSignature(mediaType string, env []byte) ([]byte, error) {
	if mediaType == MediaTypeCOSE {
		// The signature is the last item of a COSE_Sign1.
		out := bytes.Clone(env)
		out[len(out)-1] ^= 1
		return out, nil
	}
	var failed error
	out, err := EditJWS(env, func(m map[string]any) {
		s, _ := m["signature"].(string)
		sig, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(sig) == 0 {
			failed = errors.New("the envelope has no signature")
			return
		}
		sig[len(sig)-1] ^= 1
		m["signature"] = base64.RawURLEncoding.EncodeToString(sig)
	})
	return out, errors.Join(failed, err)
}
