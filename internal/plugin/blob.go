package plugin

import (
	"context"
	"fmt"
	"maps"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/sign"
)

// CapabilityEnvelopeForBlob is that of plugins that make whole envelopes over
// blobs (plugin-extensibility.md, "Plugin metadata").
const CapabilityEnvelopeForBlob = "SIGNATURE_GENERATOR.ENVELOPE_FOR_BLOB"

// BlobEnveloper is a plugin with that capability and a key of it. Beside the
// envelope it tells the key's algorithm, for a blob's digest is in its hash
// (PLG-08). It satisfies sign.BlobEnveloper.
type BlobEnveloper struct {
	Enveloper
	key RawKey // asked for its algorithm only
}

var _ sign.BlobEnveloper = (*BlobEnveloper)(nil)

// BlobEnveloper takes a key of an open plugin.
func (p *Plugin) BlobEnveloper(keyID string, config map[string]string) (*BlobEnveloper, error) {
	if err := p.checkKey(keyID, CapabilityEnvelopeForBlob); err != nil {
		return nil, err
	}
	return &BlobEnveloper{
		Enveloper: Enveloper{plugin: p, id: keyID, config: maps.Clone(config)},
		key:       RawKey{plugin: p, id: keyID, config: maps.Clone(config)},
	}, nil
}

// Algorithm asks the plugin for the key's type (describe-key), once.
func (e *BlobEnveloper) Algorithm(ctx context.Context) (envelope.Algorithm, error) {
	return e.key.Algorithm(ctx)
}

// SignsNoBlobs is the error of a plugin that signs and lacks what blobs need,
// in notation's words.
func (p *Plugin) SignsNoBlobs() error {
	return &shuin.Error{
		Code:    shuin.CodePluginFailed,
		Message: fmt.Sprintf("the plugin %q lacks the signature generator capability required for blob signing", p.name),
		Hint:    fmt.Sprintf("blobs need a plugin with the capability %s or %s", CapabilityRaw, CapabilityEnvelopeForBlob),
	}
}
