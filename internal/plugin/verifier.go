package plugin

import (
	"context"
	"fmt"
	"time"

	"github.com/notaryproject/notation-plugin-framework-go/plugin"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/verify"
)

var (
	_ verify.Plugins        = (*Host)(nil)
	_ verify.PluginVerifier = (*Plugin)(nil)
)

// verifyRequest is the request of verify-signature. The framework's own type
// lacks the two attributes that name the plugin.
type verifyRequest struct {
	ContractVersion string             `json:"contractVersion"`
	Signature       signatureToVerify  `json:"signature"`
	TrustPolicy     plugin.TrustPolicy `json:"trustPolicy"`
	PluginConfig    map[string]string  `json:"pluginConfig,omitempty"`
}

type signatureToVerify struct {
	CriticalAttributes    criticalAttributes `json:"criticalAttributes"`
	UnprocessedAttributes []string           `json:"unprocessedAttributes"`
	CertificateChain      [][]byte           `json:"certificateChain"`
}

type criticalAttributes struct {
	ContentType          string         `json:"contentType"`
	SigningScheme        string         `json:"signingScheme"`
	Expiry               *time.Time     `json:"expiry,omitempty"`
	AuthenticSigningTime *time.Time     `json:"authenticSigningTime,omitempty"`
	VerificationPlugin   any            `json:"verificationPlugin,omitempty"`
	MinVersion           any            `json:"verificationPluginMinVersion,omitempty"`
	ExtendedAttributes   map[string]any `json:"extendedAttributes,omitempty"`
}

func (verifyRequest) Command() plugin.Command { return plugin.CommandVerifySignature }

// VerifySignature asks the plugin. What its answer means is for package verify
// to judge (PLG-09 to PLG-11).
func (p *Plugin) VerifySignature(ctx context.Context, req verify.PluginRequest) (verify.PluginResponse, error) {
	wire, err := newVerifyRequest(p.meta.Contract, req)
	if err != nil {
		return verify.PluginResponse{}, failed(fmt.Sprintf("ask plugin %q to verify", p.name), err)
	}
	out, err := p.host.call(ctx, p, wire)
	if err != nil {
		return verify.PluginResponse{}, err
	}
	resp, err := readVerification(out)
	if err != nil {
		return verify.PluginResponse{}, p.misbehaved(plugin.CommandVerifySignature, err)
	}
	return resp, nil
}

func newVerifyRequest(contract string, req verify.PluginRequest) (verifyRequest, error) {
	e := req.Envelope
	wire := verifyRequest{
		ContractVersion: contract,
		Signature: signatureToVerify{
			CriticalAttributes:    criticalAttributes{ContentType: e.ContentType, SigningScheme: string(e.Scheme)},
			UnprocessedAttributes: []string{},
			CertificateChain:      e.Chain,
		},
		TrustPolicy:  plugin.TrustPolicy{TrustedIdentities: req.TrustedIdentities, SignatureVerification: []plugin.Capability{}},
		PluginConfig: req.Config,
	}
	if wire.TrustPolicy.TrustedIdentities == nil {
		wire.TrustPolicy.TrustedIdentities = []string{}
	}
	for _, c := range req.Checks {
		wire.TrustPolicy.SignatureVerification = append(wire.TrustPolicy.SignatureVerification, plugin.Capability(c))
	}
	critical := &wire.Signature.CriticalAttributes
	// Notation sends the zero time for a signature without expiry, and plugins
	// count on it.
	critical.Expiry = &e.Expiry
	if !e.AuthenticSigningTime.IsZero() {
		critical.AuthenticSigningTime = &e.AuthenticSigningTime
	}
	for _, a := range e.Extended {
		switch a.Key {
		case "io.cncf.notary.verificationPlugin":
			critical.VerificationPlugin = a.Value
		case "io.cncf.notary.verificationPluginMinVersion":
			critical.MinVersion = a.Value
		}
	}
	for _, a := range req.Unprocessed {
		if err := wire.Signature.add(a); err != nil {
			return verifyRequest{}, err
		}
	}
	return wire, nil
}

// add hands a critical attribute over. Names are strings and values JSON
// primitives; the protocol has no others.
func (s *signatureToVerify) add(a envelope.Attribute) error {
	name, ok := a.Key.(string)
	if !ok {
		return fmt.Errorf("critical attribute with the label %v cannot be handed to a plugin", a.Key)
	}
	switch a.Value.(type) {
	case nil, string, bool, float64, float32, int64, uint64, int:
	default:
		return fmt.Errorf("critical attribute %.64q is no JSON primitive and cannot be handed to a plugin", name)
	}
	if s.CriticalAttributes.ExtendedAttributes == nil {
		s.CriticalAttributes.ExtendedAttributes = map[string]any{}
	}
	s.CriticalAttributes.ExtendedAttributes[name] = a.Value
	s.UnprocessedAttributes = append(s.UnprocessedAttributes, name)
	return nil
}

// readVerification reads the answer to verify-signature. A result without
// success is no success.
func readVerification(data []byte) (verify.PluginResponse, error) {
	var resp plugin.VerifySignatureResponse
	if err := decode(data, &resp); err != nil {
		return verify.PluginResponse{}, err
	}
	out := verify.PluginResponse{Results: map[string]verify.PluginResult{}, Processed: resp.ProcessedAttributes}
	for check, r := range resp.VerificationResults {
		if r != nil {
			out.Results[string(check)] = verify.PluginResult{Success: r.Success, Reason: printable(r.Reason)}
		}
	}
	return out, nil
}
