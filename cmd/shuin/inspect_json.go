package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/shuin/shuin"
)

// The JSON of inspect. The order of the fields is notation's.

type inspectJSON struct {
	MediaType  string          `json:"mediaType"`
	Signatures []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	Digest                string            `json:"digest,omitempty"`
	SignatureAlgorithm    string            `json:"signatureAlgorithm"`
	SignatureEnvelopeType string            `json:"signatureEnvelopeType"`
	SignedAttributes      map[string]any    `json:"signedAttributes"`
	UserDefinedAttributes map[string]string `json:"userDefinedAttributes"`
	UnsignedAttributes    map[string]any    `json:"unsignedAttributes"`
	Certificates          []certificateJSON `json:"certificates"`
	SignedArtifact        shuin.Descriptor  `json:"signedArtifact"`
}

type certificateJSON struct {
	SHA256Fingerprint string    `json:"SHA256Fingerprint"`
	IssuedTo          string    `json:"issuedTo"`
	IssuedBy          string    `json:"issuedBy"`
	Expiry            time.Time `json:"expiry"`
}

type timestampJSON struct {
	Timestamp    string            `json:"timestamp,omitempty"`
	Certificates []certificateJSON `json:"certificates,omitempty"`
	Error        string            `json:"error,omitempty"`
}

func (i *inspection) json() signatureJSON {
	signed := map[string]any{
		"contentType":   i.env.ContentType,
		"signingScheme": string(i.env.Scheme),
		"signingTime":   i.signingTime(),
	}
	if !i.env.Expiry.IsZero() {
		signed["expiry"] = i.env.Expiry.UTC()
	}
	for _, attr := range i.env.Extended {
		signed[fmt.Sprint(attr.Key)] = fmt.Sprint(attr.Value)
	}
	unsigned := map[string]any{}
	if i.env.SigningAgent != "" {
		unsigned["signingAgent"] = i.env.SigningAgent
	}
	if i.timestamp != nil {
		unsigned["timestampSignature"] = i.timestamp.json()
	}
	artifact := i.artifact
	artifact.Annotations = nil // shown as user defined attributes
	return signatureJSON{
		Digest:                i.digest,
		SignatureAlgorithm:    i.env.Algorithm.String(),
		SignatureEnvelopeType: i.mediaType,
		SignedAttributes:      signed,
		UserDefinedAttributes: i.artifact.Annotations,
		UnsignedAttributes:    unsigned,
		Certificates:          certificatesJSON(i.chain),
		SignedArtifact:        artifact,
	}
}

func (t *inspectedTimestamp) json() timestampJSON {
	if t.err != nil {
		return timestampJSON{Error: timestampError(t.err)}
	}
	span := "[" + t.from.UTC().Format(time.RFC3339Nano) + ", " + t.to.UTC().Format(time.RFC3339Nano) + "]"
	return timestampJSON{Timestamp: span, Certificates: certificatesJSON(t.chain)}
}

func certificatesJSON(certs []*x509.Certificate) []certificateJSON {
	var out []certificateJSON
	for _, cert := range certs {
		out = append(out, certificateJSON{
			SHA256Fingerprint: fingerprint(cert),
			IssuedTo:          cert.Subject.String(),
			IssuedBy:          cert.Issuer.String(),
			Expiry:            cert.NotAfter,
		})
	}
	return out
}

// writeJSON writes v indented by two spaces, with a newline at the end.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
