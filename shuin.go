// Package shuin holds the words the rest of the project speaks: what a person
// wrote ([Reference]), what it resolved to ([Artifact]), what is attached to it
// ([Signature]), what was decided about it ([Report], [Check]) and how a failure
// is told ([Error]).
//
// It decides nothing and touches nothing: no network, disk, clock or
// cryptography. Every other package may import it; it imports none of them.
package shuin

import (
	"errors"
	"fmt"
	"maps"

	"github.com/opencontainers/go-digest"
)

// Media types and annotation keys of the Notary Project signature
// specification (signature-specification.md, "OCI Signatures") and of the OCI
// image specification.
const (
	// ArtifactTypeSignature is the artifactType of a signature manifest, and
	// the config media type of its legacy form.
	ArtifactTypeSignature = "application/vnd.cncf.notary.signature"
	// MediaTypePayload is the content type of every signed payload.
	MediaTypePayload = "application/vnd.cncf.notary.payload.v1+json"
	// MediaTypeJWS is the media type of a JWS signature envelope.
	MediaTypeJWS = "application/jose+json"
	// MediaTypeCOSE is the media type of a COSE signature envelope.
	MediaTypeCOSE = "application/cose"
	// MediaTypeReport is the media type of a [Report] as JSON.
	MediaTypeReport = "application/vnd.shuin.report.v1+json"

	// MetadataStage is the user metadata that names the stage a seal is for: a
	// signed annotation of the payload's descriptor.
	MetadataStage = "shuin.stage"

	// AnnotationThumbprints lists, as a JSON array of hex SHA-256 digests, the
	// certificates of a signature's chain, leaf first. It is unsigned: a hint.
	AnnotationThumbprints = "io.cncf.notary.x509chain.thumbprint#S256"
	// ReservedAnnotationPrefix starts keys that only the Notary Project may
	// use, in payloads and in manifests.
	ReservedAnnotationPrefix = "io.cncf.notary"
)

// Descriptor names content by media type, digest and size in bytes
// (OCI image specification, descriptor.md).
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      digest.Digest     `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Validate reports the first reason why d cannot name content.
func (d Descriptor) Validate() error {
	if d.MediaType == "" {
		return errors.New("descriptor has no mediaType")
	}
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("descriptor digest %q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("descriptor size %d is negative", d.Size)
	}
	return nil
}

// SameContent reports whether d and o name the same content: media type,
// digest and size are equal. Annotations do not count.
func (d Descriptor) SameContent(o Descriptor) bool {
	return d.MediaType == o.MediaType && d.Digest == o.Digest && d.Size == o.Size
}

// Platform is one image of a multi-platform image (OCI image specification,
// image-index.md, "platform").
type Platform struct {
	OS           string     `json:"os"`
	Architecture string     `json:"architecture"`
	Variant      string     `json:"variant,omitempty"`
	Descriptor   Descriptor `json:"descriptor"`
}

// String is "os/architecture[/variant]".
func (p Platform) String() string {
	if p.Variant == "" {
		return p.OS + "/" + p.Architecture
	}
	return p.OS + "/" + p.Architecture + "/" + p.Variant
}

// Artifact is a reference that was resolved: it always has a digest. Only an
// Artifact can be signed, verified or cached; the type is the proof. Make one
// with [NewArtifact].
type Artifact struct {
	ref  Reference
	desc Descriptor
}

// NewArtifact binds a reference to the descriptor it resolved to. The
// descriptor must be valid, and where the reference names a digest it must be
// the descriptor's: a registry that answers with another one is lying.
func NewArtifact(ref Reference, desc Descriptor) (Artifact, error) {
	if err := desc.Validate(); err != nil {
		return Artifact{}, err
	}
	if ref.Digest != "" && ref.Digest != desc.Digest {
		return Artifact{}, fmt.Errorf("asked for %s, resolved to %s", ref.Digest, desc.Digest)
	}
	desc.Annotations = maps.Clone(desc.Annotations)
	return Artifact{ref: ref, desc: desc}, nil
}

// Written is the reference the artifact was resolved from; it may hold a tag.
func (a Artifact) Written() Reference { return a.ref }

// Name is the repository without tag or digest, as registryScopes of a trust
// policy spell it: "registry/repository", or the path of an OCI layout or a blob.
func (a Artifact) Name() string { return a.ref.Name() }

// Descriptor is what the artifact is. Its digest is never empty.
func (a Artifact) Descriptor() Descriptor { return a.desc }

// Digest is the artifact's digest.
func (a Artifact) Digest() digest.Digest { return a.desc.Digest }

// String is the pinned form, "name@digest".
func (a Artifact) String() string { return a.Name() + "@" + a.desc.Digest.String() }
