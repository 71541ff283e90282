package envelope

import (
	"fmt"
	"strings"

	"golang.org/x/mod/semver"
)

// Signed attributes that ask for a verification plugin
// (signature-specification.md, "Extended attributes for Notation Plugins").
const (
	keyPlugin           = "io.cncf.notary.verificationPlugin"
	keyPluginMinVersion = "io.cncf.notary.verificationPluginMinVersion"
)

// PluginAttributes is what an envelope says about verification plugins. It is
// a claim like every field of an [Envelope].
type PluginAttributes struct {
	Name       string // empty: no plugin is asked for
	MinVersion string // empty: any
	// Unknown are critical attributes that neither the specification nor we know.
	Unknown []Attribute
}

// PluginAttributes sorts the extended attributes (ATT-08, ATT-09, ATT-15). The
// error says why they cannot be used: one that is not critical or no text, a
// minimum version that is no semantic version or of no plugin. Name is set
// where it could be read, also then.
func (e *Envelope) PluginAttributes() (PluginAttributes, error) {
	var p PluginAttributes
	var err error
	for _, a := range e.Extended {
		switch a.Key {
		case keyPlugin:
			p.Name, err = criticalText(a, err)
		case keyPluginMinVersion:
			p.MinVersion, err = criticalText(a, err)
			if err == nil && !ValidSemVer(p.MinVersion) {
				err = fmt.Errorf("signed attribute %s: %.64q is not a semantic version", keyPluginMinVersion, p.MinVersion)
			}
		default:
			if a.Critical {
				p.Unknown = append(p.Unknown, a)
			}
		}
	}
	if err == nil && p.Name == "" && p.MinVersion != "" {
		// Differs from upstream: it leaves this critical attribute unprocessed.
		err = fmt.Errorf("signed attribute %s is there without %s", keyPluginMinVersion, keyPlugin)
	}
	return p, err
}

// criticalText reads an attribute that has to be critical and a text.
func criticalText(a Attribute, before error) (string, error) {
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

// ValidSemVer reports whether s is a version of semver.org 2.0.0 in full
// (ATT-09): package semver also takes "1" and "1.2".
func ValidSemVer(s string) bool {
	v := "v" + s
	return semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}
