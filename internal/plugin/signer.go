package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/notaryproject/notation-plugin-framework-go/plugin"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/sign"
)

// RawKey is a key held by a plugin with the capability
// SIGNATURE_GENERATOR.RAW. It satisfies sign.Key.
type RawKey struct {
	plugin *Plugin
	id     string
	config map[string]string

	mu  sync.Mutex
	alg envelope.Algorithm // 0: not yet asked
}

// Enveloper is a plugin with the capability SIGNATURE_GENERATOR.ENVELOPE and a
// key of it. It satisfies sign.Enveloper.
type Enveloper struct {
	plugin *Plugin
	id     string
	config map[string]string
}

var (
	_ sign.Key       = (*RawKey)(nil)
	_ sign.Enveloper = (*Enveloper)(nil)
)

// RawKey opens the plugin and takes the key keyID of it. config is the
// plugin's configuration, as the key list and flags give it; nil: none.
func (h *Host) RawKey(ctx context.Context, name, keyID string, config map[string]string) (*RawKey, error) {
	p, err := h.Open(ctx, name, config)
	if err != nil {
		return nil, err
	}
	return p.RawKey(keyID, config)
}

// Enveloper opens the plugin and takes the key keyID of it.
func (h *Host) Enveloper(ctx context.Context, name, keyID string, config map[string]string) (*Enveloper, error) {
	p, err := h.Open(ctx, name, config)
	if err != nil {
		return nil, err
	}
	return p.Enveloper(keyID, config)
}

// RawKey takes a key of an open plugin.
func (p *Plugin) RawKey(keyID string, config map[string]string) (*RawKey, error) {
	if err := p.checkKey(keyID, CapabilityRaw); err != nil {
		return nil, err
	}
	return &RawKey{plugin: p, id: keyID, config: maps.Clone(config)}, nil
}

// Enveloper takes a key of an open plugin.
func (p *Plugin) Enveloper(keyID string, config map[string]string) (*Enveloper, error) {
	if err := p.checkKey(keyID, CapabilityEnvelope); err != nil {
		return nil, err
	}
	return &Enveloper{plugin: p, id: keyID, config: maps.Clone(config)}, nil
}

func (p *Plugin) checkKey(keyID, capability string) error {
	if keyID == "" {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("no key id for plugin %q", p.name)}
	}
	if !p.Has(capability) {
		if !p.Has(CapabilityRaw) && !p.Has(CapabilityEnvelope) {
			return failed(fmt.Sprintf("use plugin %q", p.name), errors.New("plugin does not have signing capabilities"))
		}
		return failed(fmt.Sprintf("use plugin %q", p.name), fmt.Errorf("plugin does not have the capability %s", capability))
	}
	return nil
}

// misbehaved says that a plugin's answer cannot be used.
func (p *Plugin) misbehaved(command plugin.Command, err error) error {
	return &shuin.Error{
		Code:    shuin.CodePluginFailed,
		Message: fmt.Sprintf("answer of plugin %q to %s", p.name, command),
		Hint:    "report it to the maker of the plugin",
		Err:     err,
	}
}

// Algorithm asks the plugin for the key's type (describe-key), once.
func (k *RawKey) Algorithm(ctx context.Context) (envelope.Algorithm, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.alg != 0 {
		return k.alg, nil
	}
	out, err := k.plugin.host.call(ctx, k.plugin, plugin.DescribeKeyRequest{
		ContractVersion: k.plugin.meta.Contract, KeyID: k.id, PluginConfig: k.config,
	})
	if err != nil {
		return 0, err
	}
	alg, err := readKey(k.id, out)
	if err != nil {
		return 0, k.plugin.misbehaved(plugin.CommandDescribeKey, err)
	}
	k.alg = alg
	return alg, nil
}

// readKey reads the answer to describe-key.
func readKey(id string, data []byte) (envelope.Algorithm, error) {
	var resp plugin.DescribeKeyResponse
	if err := decode(data, &resp); err != nil {
		return 0, err
	}
	if resp.KeyID != id {
		return 0, fmt.Errorf("keyID in describeKey response %q does not match request %q", resp.KeyID, id)
	}
	return envelope.AlgorithmFromKeySpec(string(resp.KeySpec))
}

var hashNames = map[envelope.Algorithm]plugin.HashAlgorithm{
	envelope.PS256: plugin.HashAlgorithmSHA256, envelope.ES256: plugin.HashAlgorithmSHA256,
	envelope.PS384: plugin.HashAlgorithmSHA384, envelope.ES384: plugin.HashAlgorithmSHA384,
	envelope.PS512: plugin.HashAlgorithmSHA512, envelope.ES512: plugin.HashAlgorithmSHA512,
}

// Sign has the plugin sign (generate-signature), and checks key id, algorithm,
// certificate rules and the signature itself (PLG-06).
func (k *RawKey) Sign(ctx context.Context, signed []byte) (signature []byte, chain [][]byte, err error) {
	alg, err := k.Algorithm(ctx)
	if err != nil {
		return nil, nil, err
	}
	out, err := k.plugin.host.call(ctx, k.plugin, plugin.GenerateSignatureRequest{
		ContractVersion: k.plugin.meta.Contract, KeyID: k.id, KeySpec: plugin.KeySpec(alg.KeySpec()),
		Hash: hashNames[alg], Payload: signed, PluginConfig: k.config,
	})
	if err != nil {
		return nil, nil, err
	}
	signature, chain, err = readSignature(k.id, alg, signed, out)
	if err != nil {
		return nil, nil, k.plugin.misbehaved(plugin.CommandGenerateSignature, err)
	}
	return signature, chain, nil
}

// readSignature reads and checks the answer to generate-signature (PLG-06).
func readSignature(id string, alg envelope.Algorithm, signed, data []byte) (signature []byte, chain [][]byte, err error) {
	var resp plugin.GenerateSignatureResponse
	if err := decode(data, &resp); err != nil {
		return nil, nil, err
	}
	if resp.KeyID != id {
		return nil, nil, fmt.Errorf("keyID in generateSignature response %q does not match request %q", resp.KeyID, id)
	}
	got, err := envelope.AlgorithmFromName(string(resp.SigningAlgorithm))
	if err != nil {
		return nil, nil, err
	}
	if got != alg {
		return nil, nil, fmt.Errorf("plugin signed with %s, its key needs %s", got, alg)
	}
	leaf, err := checkChain(resp.CertificateChain)
	if err != nil {
		return nil, nil, err
	}
	if err := alg.VerifySignature(leaf.PublicKey, signed, resp.Signature); err != nil {
		return nil, nil, unverified(leaf, alg, err)
	}
	return resp.Signature, resp.CertificateChain, nil
}

// Envelope has the plugin make the whole envelope (generate-envelope), and
// checks its type, payload, signature and certificates, a timestamp's included
// (PLG-07). req.PluginConfig goes over the configuration of the key.
func (e *Enveloper) Envelope(ctx context.Context, req sign.EnvelopeRequest) (sign.EnvelopeResponse, error) {
	if req.ExpirySeconds < 0 {
		return sign.EnvelopeResponse{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "expiry duration is negative"}
	}
	config := maps.Clone(e.config)
	if config == nil {
		config = req.PluginConfig
	} else {
		maps.Copy(config, req.PluginConfig)
	}
	out, err := e.plugin.host.call(ctx, e.plugin, plugin.GenerateEnvelopeRequest{
		ContractVersion: e.plugin.meta.Contract, KeyID: e.id, PayloadType: req.PayloadType,
		SignatureEnvelopeType: req.MediaType, Payload: req.Payload,
		ExpiryDurationInSeconds: uint64(req.ExpirySeconds), PluginConfig: config,
	})
	if err != nil {
		return sign.EnvelopeResponse{}, err
	}
	e.plugin.host.trace("Verifying signature envelope generated by the plugin")
	resp, err := readEnvelope(req, out)
	if err != nil {
		return sign.EnvelopeResponse{}, e.plugin.misbehaved(plugin.CommandGenerateEnvelope, err)
	}
	return resp, nil
}

// readEnvelope reads and checks the answer to generate-envelope (PLG-07).
func readEnvelope(req sign.EnvelopeRequest, data []byte) (sign.EnvelopeResponse, error) {
	var none sign.EnvelopeResponse
	var resp plugin.GenerateEnvelopeResponse
	if err := decode(data, &resp); err != nil {
		return none, err
	}
	if resp.SignatureEnvelopeType != req.MediaType {
		return none, fmt.Errorf("signatureEnvelopeType in generateEnvelope response %q does not match request %q", resp.SignatureEnvelopeType, req.MediaType)
	}
	env, err := envelope.Parse(req.MediaType, resp.SignatureEnvelope)
	if err != nil {
		return none, fmt.Errorf("%s: %w", unread(req.MediaType, resp.SignatureEnvelope), err)
	}
	if err := checkPayload(req.Payload, env.Payload); err != nil {
		return none, err
	}
	leaf, err := checkChain(env.Chain)
	if err != nil {
		return none, err
	}
	if err := env.VerifySignature(leaf.PublicKey); err != nil {
		return none, unverified(leaf, env.Algorithm, err)
	}
	if env.TimestampToken != nil && env.Scheme == envelope.SchemeX509 {
		// Whose it is, is for the verifier's trust policy to say.
		if _, err := envelope.ParseTimestamp(env.TimestampToken, env.Signature, nil); err != nil {
			return none, err
		}
	}
	return sign.EnvelopeResponse{MediaType: resp.SignatureEnvelopeType, Envelope: resp.SignatureEnvelope, Annotations: resp.Annotations}, nil
}

// checkPayload: the plugin may add annotations to the descriptor; nothing else
// is added, and nothing is changed or left out.
func checkPayload(asked, signed []byte) error {
	want, err := envelope.ParsePayload(asked)
	if err != nil {
		return fmt.Errorf("payload to sign: %w", err)
	}
	got, err := envelope.ParsePayload(signed)
	if err != nil {
		return err
	}
	if !got.TargetArtifact.SameContent(want.TargetArtifact) {
		return fmt.Errorf("during signing descriptor subject has changed from %+v to %+v", want.TargetArtifact, got.TargetArtifact)
	}
	for k, v := range want.TargetArtifact.Annotations {
		if g, ok := got.TargetArtifact.Annotations[k]; !ok || g != v {
			return fmt.Errorf("during signing annotation %q was changed or left out", k)
		}
	}
	return checkMembers(signed)
}

// checkMembers refuses members of the descriptor that no descriptor has.
func checkMembers(payload []byte) error {
	var p struct {
		TargetArtifact map[string]jsontext.Value `json:"targetArtifact"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	for name := range p.TargetArtifact {
		switch name {
		case "mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType":
		default:
			return fmt.Errorf("during signing, an unknown attribute %.64q was added to subject descriptor", name)
		}
	}
	return nil
}
