package policy

import "encoding/json"

// BlobStatement is the statement of a new blob document, level strict, as it is
// written: trust stores as "type:name", identities as "x509.subject: …" or "*".
type BlobStatement struct {
	Name              string
	TrustStores       []string
	TrustedIdentities []string
	Global            bool // applies where no statement is named
}

// The JSON form that is written: its order, and that globalPolicy is left out
// where it is false, are notation's ("blob policy init").
type (
	writtenDocument struct {
		Version    string             `json:"version"`
		Statements []writtenStatement `json:"trustPolicies"`
	}
	writtenStatement struct {
		Name         string `json:"name"`
		Verification struct {
			Level string `json:"level"`
		} `json:"signatureVerification"`
		TrustStores       []string `json:"trustStores"`
		TrustedIdentities []string `json:"trustedIdentities"`
		GlobalPolicy      bool     `json:"globalPolicy,omitempty"`
	}
)

// NewBlobDocument writes a blob document of one statement: JSON indented by two
// spaces, without a line break at the end. One that breaks a rule is a
// [*ValidationError].
func NewBlobDocument(b BlobStatement) ([]byte, error) {
	s := writtenStatement{Name: b.Name, TrustStores: b.TrustStores, TrustedIdentities: b.TrustedIdentities, GlobalPolicy: b.Global}
	s.Verification.Level = LevelStrict
	data, err := json.MarshalIndent(writtenDocument{Version, []writtenStatement{s}}, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, err := ParseBlob(data); err != nil {
		return nil, err
	}
	return data, nil
}
