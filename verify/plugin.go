package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"golang.org/x/mod/semver"
)

// Checks a verification plugin can make in our place
// (plugin-extensibility.md, "Signature Verifier"). It can make no others:
// policy selection, integrity and the chain's anchor stay here (PLG-11).
const (
	CapabilityTrustedIdentity = "SIGNATURE_VERIFIER.TRUSTED_IDENTITY"
	CapabilityRevocationCheck = "SIGNATURE_VERIFIER.REVOCATION_CHECK"
)

// pluginAttributes is what an envelope says about plugins.
type pluginAttributes struct {
	envelope.PluginAttributes
	err error // the attributes themselves cannot be used
}

func readPluginAttributes(e *envelope.Envelope) pluginAttributes {
	p, err := e.PluginAttributes()
	return pluginAttributes{p, err}
}

// PluginEvidence is what is known of the plugin a signature asks for.
type PluginEvidence struct {
	// Version and Capabilities are the installed plugin's own words.
	Version      string
	Capabilities []string
	// Err: the plugin is missing or cannot be used.
	Err error

	// Answered: VerifySignature was asked; Answer or AnswerErr is its result.
	Answered  bool
	Answer    PluginResponse
	AnswerErr error
}

func (p *PluginEvidence) can(capability string) bool {
	return p != nil && p.Err == nil && slices.Contains(p.Capabilities, capability)
}

// judgeInstalled says whether the installed plugin can judge the signature
// (PLG-09, ATT-09). A missing, old or incapable plugin fails verification
// whatever the level: nobody else can process the attributes.
func (a pluginAttributes) judgeInstalled(p *PluginEvidence) error {
	switch {
	case p.Err != nil:
		return a.failed("find verification plugin "+a.Name, p.Err)
	case !envelope.ValidSemVer(p.Version):
		return a.failed("", fmt.Errorf("verification plugin %s says it has version %q, which is no semantic version", a.Name, p.Version))
	case a.MinVersion != "" && semver.Compare("v"+p.Version, "v"+a.MinVersion) < 0:
		return a.failed("", fmt.Errorf("found plugin %s with version %s but signature verification needs plugin version greater than or equal to %s", a.Name, p.Version, a.MinVersion))
	case !p.can(CapabilityTrustedIdentity) && !p.can(CapabilityRevocationCheck):
		return a.failed("", fmt.Errorf("plugin %s cannot verify signatures", a.Name))
	}
	return nil
}

func (a pluginAttributes) failed(doing string, err error) error {
	hint := "the signature's attributes for verification plugins are at fault; have the artifact signed again"
	if a.Name != "" {
		hint = fmt.Sprintf("the signature asks for the plugin %q; install it, or a later version of it", a.Name)
	}
	return &shuin.Error{Code: shuin.CodePluginFailed, Message: doing, Err: err, Hint: hint}
}

// judgeUnknown fails a signature with critical attributes that nobody
// processes (ATT-08). Upstream accepts them when no plugin is named.
func (a pluginAttributes) judgeUnknown() error {
	if len(a.Unknown) == 0 {
		return nil
	}
	names := make([]string, len(a.Unknown))
	for i, u := range a.Unknown {
		names[i] = fmt.Sprint(u.Key)
	}
	return &shuin.Error{
		Code:    shuin.CodeTooOld,
		Message: "this verifier is too old for the critical signed attributes " + strings.Join(names, ", "),
		Hint:    "update this verifier, or use the tool the signer names",
	}
}

// judgeAnswer checks that the plugin answered exactly what it was asked
// (PLG-10). What its results say is judged by the checks they stand for.
func (a pluginAttributes) judgeAnswer(checks []string, p *PluginEvidence) error {
	if p.AnswerErr != nil {
		return a.failed("ask verification plugin "+a.Name, p.AnswerErr)
	}
	if len(p.Answer.Results) != len(checks) {
		return a.failed("", fmt.Errorf("verification plugin %s answered %d checks, %d were asked", a.Name, len(p.Answer.Results), len(checks)))
	}
	for _, c := range checks {
		if _, ok := p.Answer.Results[c]; !ok {
			return a.failed("", fmt.Errorf("verification plugin %s did not answer %s", a.Name, c))
		}
	}
	for _, u := range a.Unknown {
		if !slices.Contains(p.Answer.Processed, u.Key) {
			return a.failed("", fmt.Errorf("verification plugin %s did not process the critical attribute %v", a.Name, u.Key))
		}
	}
	for _, key := range p.Answer.Processed {
		if !slices.ContainsFunc(a.Unknown, func(u envelope.Attribute) bool { return u.Key == key }) {
			return a.failed("", fmt.Errorf("verification plugin %s says it processed %v, which it was not asked to", a.Name, key))
		}
	}
	return nil
}

// result is the plugin's answer to one check, nil when it passed.
func (a pluginAttributes) result(p *PluginEvidence, check string, code shuin.Code) error {
	r := p.Answer.Results[check]
	if r.Success {
		return nil
	}
	reason := r.Reason
	if reason == "" {
		reason = "no reason given"
	}
	return &shuin.Error{Code: code, Message: fmt.Sprintf("%s %q failed with reason %q", pluginChecks[check], a.Name, reason)}
}

// pluginChecks are what a plugin can check, in notation's words, its slip included.
var pluginChecks = map[string]string{
	CapabilityTrustedIdentity: "trusted identify verification by plugin",
	CapabilityRevocationCheck: "revocation check by verification plugin",
}
