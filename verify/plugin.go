package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"golang.org/x/mod/semver"
)

// Signed attributes that ask for a verification plugin
// (signature-specification.md, "Extended attributes for Notation Plugins").
const (
	attributePlugin           = "io.cncf.notary.verificationPlugin"
	attributePluginMinVersion = "io.cncf.notary.verificationPluginMinVersion"
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
	name       string // empty: none asked for
	minVersion string // empty: any
	// unknown are critical attributes that neither the specification nor we know.
	unknown []envelope.Attribute
	err     error // the attributes themselves cannot be used
}

// readPluginAttributes sorts the extended attributes (ATT-08, ATT-09, ATT-15).
func readPluginAttributes(e *envelope.Envelope) pluginAttributes {
	var p pluginAttributes
	for _, a := range e.Extended {
		switch a.Key {
		case attributePlugin:
			p.name, p.err = criticalText(a, p.err)
		case attributePluginMinVersion:
			p.minVersion, p.err = criticalText(a, p.err)
			if p.err == nil && !validSemVer(p.minVersion) {
				p.err = fmt.Errorf("signed attribute %s: %q is not a semantic version", attributePluginMinVersion, p.minVersion)
			}
		default:
			if a.Critical {
				p.unknown = append(p.unknown, a)
			}
		}
	}
	return p
}

// criticalText reads an attribute that has to be critical and a text.
func criticalText(a envelope.Attribute, before error) (string, error) {
	s, ok := a.Value.(string)
	switch {
	case before != nil:
		return s, before
	case !a.Critical:
		return "", fmt.Errorf("signed attribute %s is not critical", a.Key)
	case !ok || strings.TrimSpace(s) == "":
		return "", fmt.Errorf("signed attribute %s is not a text", a.Key)
	}
	return s, nil
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
		return a.failed("find verification plugin "+a.name, p.Err)
	case !validSemVer(p.Version):
		return a.failed("", fmt.Errorf("verification plugin %s says it has version %q, which is no semantic version", a.name, p.Version))
	case a.minVersion != "" && semver.Compare("v"+p.Version, "v"+a.minVersion) < 0:
		return a.failed("", fmt.Errorf("verification plugin %s has version %s, the signature needs %s or later", a.name, p.Version, a.minVersion))
	case !p.can(CapabilityTrustedIdentity) && !p.can(CapabilityRevocationCheck):
		return a.failed("", fmt.Errorf("plugin %s cannot verify signatures", a.name))
	}
	return nil
}

func (a pluginAttributes) failed(doing string, err error) error {
	return &shuin.Error{
		Code: shuin.CodePluginFailed, Message: doing, Err: err,
		Hint: fmt.Sprintf("the signature asks for the plugin %q; install it, or a later version of it", a.name),
	}
}

// judgeUnknown fails a signature with critical attributes that nobody
// processes (ATT-08). Upstream accepts them when no plugin is named.
func (a pluginAttributes) judgeUnknown() error {
	if len(a.unknown) == 0 {
		return nil
	}
	names := make([]string, len(a.unknown))
	for i, u := range a.unknown {
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
		return a.failed("ask verification plugin "+a.name, p.AnswerErr)
	}
	if len(p.Answer.Results) != len(checks) {
		return a.failed("", fmt.Errorf("verification plugin %s answered %d checks, %d were asked", a.name, len(p.Answer.Results), len(checks)))
	}
	for _, c := range checks {
		if _, ok := p.Answer.Results[c]; !ok {
			return a.failed("", fmt.Errorf("verification plugin %s did not answer %s", a.name, c))
		}
	}
	for _, u := range a.unknown {
		if !slices.Contains(p.Answer.Processed, u.Key) {
			return a.failed("", fmt.Errorf("verification plugin %s did not process the critical attribute %v", a.name, u.Key))
		}
	}
	for _, key := range p.Answer.Processed {
		if !slices.ContainsFunc(a.unknown, func(u envelope.Attribute) bool { return u.Key == key }) {
			return a.failed("", fmt.Errorf("verification plugin %s says it processed %v, which it was not asked to", a.name, key))
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
	return &shuin.Error{Code: code, Message: fmt.Sprintf("verification plugin %s refused the signature", a.name), Err: errors.New(reason)}
}

// validSemVer reports whether s is a version of semver.org 2.0.0 in full:
// package semver also takes "1" and "1.2".
func validSemVer(s string) bool {
	v := "v" + s
	return semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}
