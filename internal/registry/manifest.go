package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

const (
	mediaTypeEmpty = "application/vnd.oci.empty.v1+json"
	emptyJSON      = "{}"
)

// descriptor is an OCI descriptor as a registry writes it.
type descriptor struct {
	MediaType    string        `json:"mediaType"`
	Digest       digest.Digest `json:"digest"`
	Size         int64         `json:"size"`
	ArtifactType string        `json:"artifactType,omitempty"`
	Data         string        `json:"data,omitempty"` // base64
	Annotations  annotations   `json:"annotations,omitempty"`
}

func (d descriptor) plain() shuin.Descriptor {
	return shuin.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: d.Annotations}
}

// manifest is an OCI image manifest, as far as a signature manifest uses it.
type manifest struct {
	SchemaVersion int         `json:"schemaVersion"`
	MediaType     string      `json:"mediaType"`
	ArtifactType  string      `json:"artifactType,omitempty"`
	Config        *descriptor `json:"config"`
	Layers        layers      `json:"layers"`
	Subject       *descriptor `json:"subject,omitempty"`
	Annotations   annotations `json:"annotations,omitempty"`
}

// index is an OCI image index: a referrers answer, a fallback index, an
// index.json.
type index struct {
	SchemaVersion int         `json:"schemaVersion"`
	MediaType     string      `json:"mediaType"`
	Manifests     descriptors `json:"manifests"`
}

// decode reads JSON from outside: case-sensitive, duplicate names and invalid
// UTF-8 refused, nesting bounded.
func decode(b []byte, v any) error {
	if err := checkDepth(b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// checkDepth refuses JSON nested deeper than limits.JSONDepth.
func checkDepth(b []byte) error {
	depth, inString, escaped := 0, false, false
	for _, c := range b {
		switch {
		case inString:
			inString = escaped || c != '"'
			escaped = !escaped && c == '\\'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > limits.JSONDepth {
				return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("nested deeper than %d (limit JSONDepth)", limits.JSONDepth)}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// parseIndex reads an image index and checks each descriptor in it.
func parseIndex(b []byte) (index, error) { return parseList(b, mediaTypeImageIndex) }

func parseList(b []byte, mediaType string) (index, error) {
	var ix index
	if err := decode(b, &ix); err != nil {
		return ix, fmt.Errorf("not an image index: %w", err)
	}
	if ix.SchemaVersion != 2 {
		return ix, fmt.Errorf("not an image index: schemaVersion is %d, not 2", ix.SchemaVersion)
	}
	if ix.MediaType != "" && ix.MediaType != mediaType {
		return ix, fmt.Errorf("not an image index but %q", printable(ix.MediaType))
	}
	for i, d := range ix.Manifests {
		if err := d.plain().Validate(); err != nil {
			return ix, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return ix, nil
}

// isSignature reports whether a descriptor of a listing names a signature. In
// a listing the legacy form has the config's media type as its artifactType
// (OCI distribution specification, "Listing Referrers"), so that one
// comparison finds both forms (OCI-07).
func (d descriptor) isSignature() bool { return d.ArtifactType == shuin.ArtifactTypeSignature }

// parseManifest reads a manifest and reports whether it claims to be a
// signature manifest, in either form (OCI-02, OCI-03, OCI-07).
func parseManifest(b []byte) (m manifest, signature bool, err error) {
	if err := decode(b, &m); err != nil {
		return m, false, fmt.Errorf("not an image manifest: %w", err)
	}
	if m.ArtifactType != "" {
		return m, m.ArtifactType == shuin.ArtifactTypeSignature, nil
	}
	return m, m.Config != nil && m.Config.MediaType == shuin.ArtifactTypeSignature, nil
}

// check reports the first rule of the Notary Project signature specification,
// "OCI Signatures", that a signature manifest of a breaks.
func (m manifest) check(a shuin.Descriptor) error {
	if m.SchemaVersion != 2 {
		return fmt.Errorf("schemaVersion is %d, not 2", m.SchemaVersion)
	}
	if m.MediaType != mediaTypeImageManifest { // OCI-01
		return fmt.Errorf("mediaType is %q, not %q", printable(m.MediaType), mediaTypeImageManifest)
	}
	if err := m.checkType(); err != nil {
		return err
	}
	switch len(m.Layers) { // OCI-04
	case 0:
		return errors.New("0 layers; a signature has exactly one, its envelope")
	case 1:
	default: // only the first two were kept
		return errors.New("2 layers or more; a signature has exactly one, its envelope")
	}
	layer := m.Layers[0].plain()
	if err := layer.Validate(); err != nil {
		return fmt.Errorf("layer: %w", err)
	}
	if t := layer.MediaType; t != shuin.MediaTypeJWS && t != shuin.MediaTypeCOSE { // OCI-04, WF-03
		return fmt.Errorf("unsupported signature envelope type %q", printable(t))
	}
	if m.Subject == nil { // OCI-05
		return errors.New("no subject")
	}
	if !m.Subject.plain().SameContent(a) {
		return fmt.Errorf("subject is %s (%s, %d bytes), not the artifact %s (%s, %d bytes)",
			printable(m.Subject.Digest.String()), printable(m.Subject.MediaType), m.Subject.Size, a.Digest, a.MediaType, a.Size)
	}
	if layer.Size > limits.EnvelopeBytes {
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the envelope has %d bytes, more than %d (limit EnvelopeBytes)", layer.Size, limits.EnvelopeBytes)}
	}
	return nil
}

// checkType checks artifactType and config (OCI-02, OCI-03).
func (m manifest) checkType() error {
	if m.Config == nil {
		return errors.New("no config")
	}
	if err := m.Config.plain().Validate(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	switch m.ArtifactType {
	case shuin.ArtifactTypeSignature:
		if m.Config.MediaType != mediaTypeEmpty {
			return fmt.Errorf("config is %q; with an artifactType it has to be %q", printable(m.Config.MediaType), mediaTypeEmpty)
		}
	case "":
		if m.Config.MediaType != shuin.ArtifactTypeSignature {
			return fmt.Errorf("neither artifactType nor the config's media type is %q", shuin.ArtifactTypeSignature)
		}
	default:
		return fmt.Errorf("artifactType is %q, not %q", printable(m.ArtifactType), shuin.ArtifactTypeSignature)
	}
	return nil
}

// inline is the content that a descriptor carries in its data field, where it
// carries it whole (OCI image specification, descriptor.md, "Embedded
// Content"); else the content is fetched.
func (d descriptor) inline() ([]byte, bool) {
	if d.Data == "" || d.Size > limits.EnvelopeBytes {
		return nil, false
	}
	b, err := base64.StdEncoding.DecodeString(d.Data)
	if err != nil || int64(len(b)) != d.Size || d.Digest.Algorithm().FromBytes(b) != d.Digest {
		return nil, false
	}
	return b, true
}

// thumbprints reads the annotation that lists a chain's certificates (OCI-06).
// It is a hint: what cannot be read is no hint (OCI-09).
func thumbprints(annotations map[string]string) []string {
	v := annotations[shuin.AnnotationThumbprints]
	if v == "" {
		return nil
	}
	var list []string
	if decode([]byte(v), &list) != nil || len(list) > limits.ChainLength {
		return nil
	}
	for i, t := range list {
		list[i] = strings.ToLower(t)
		if digest.NewDigestFromEncoded(digest.SHA256, list[i]).Validate() != nil {
			return nil
		}
	}
	return list
}

// Forms of a signature manifest.
type form uint8

const (
	formArtifactType form = iota + 1 // artifactType and an empty config
	formConfig                       // the config's media type, no artifactType
)

// newManifest builds the signature manifest of a (OCI-01 to OCI-07).
func newManifest(f form, a shuin.Descriptor, mediaType string, envelope []byte, annotations map[string]string) ([]byte, descriptor, error) {
	m := manifest{
		SchemaVersion: 2,
		MediaType:     mediaTypeImageManifest,
		ArtifactType:  shuin.ArtifactTypeSignature,
		Config: &descriptor{
			MediaType: mediaTypeEmpty,
			Digest:    digest.FromString(emptyJSON),
			Size:      int64(len(emptyJSON)),
			Data:      base64.StdEncoding.EncodeToString([]byte(emptyJSON)),
		},
		Layers:      []descriptor{{MediaType: mediaType, Digest: digest.FromBytes(envelope), Size: int64(len(envelope))}},
		Subject:     &descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size},
		Annotations: annotations,
	}
	if f == formConfig {
		m.ArtifactType, m.Config.MediaType, m.Config.Data = "", shuin.ArtifactTypeSignature, ""
	}
	b, err := json.Marshal(m, json.Deterministic(true))
	if err != nil {
		return nil, descriptor{}, err
	}
	if len(b) > limits.SignatureManifestBytes {
		return nil, descriptor{}, exceeded("build the signature manifest", "SignatureManifestBytes", "%d bytes, more than %d", len(b), limits.SignatureManifestBytes)
	}
	return b, descriptor{
		MediaType: mediaTypeImageManifest, Digest: digest.FromBytes(b), Size: int64(len(b)),
		ArtifactType: shuin.ArtifactTypeSignature, Annotations: annotations,
	}, m.check(a)
}
