package shuin

// Signature is one candidate signature of an artifact as a registry returned
// it: bytes and claims, nothing verified.
type Signature struct {
	// Manifest describes the signature manifest; its digest names the signature.
	Manifest Descriptor
	// EnvelopeMediaType is the layer's media type, [MediaTypeJWS] or [MediaTypeCOSE].
	EnvelopeMediaType string
	// Envelope is the envelope's bytes, already checked against the layer's
	// digest and size.
	Envelope []byte
	// Thumbprints are the certificates the manifest claims for the chain
	// ([AnnotationThumbprints]), lower-case hex SHA-256, leaf first. Unsigned:
	// use them to order candidates, never to accept or reject one.
	Thumbprints []string
	// Err says why the signature could not be fetched or its manifest is
	// malformed; Envelope is then empty. A candidate with Err stays in the
	// Report, so that nothing found is silently dropped.
	Err error
}
