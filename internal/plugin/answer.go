package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/notaryproject/notation-plugin-framework-go/plugin"
)

// Answers are decoded case-sensitively, without duplicate names and with
// nothing after the object; members nobody knows are ignored, since a plugin
// may speak a later minor version of the contract.

func decode(data []byte, out any) error {
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("malformed JSON: %w", err)
	}
	return nil
}

// readMetadata reads the answer to get-plugin-metadata; every attribute is
// required and the name is the directory's (PLG-05).
func readMetadata(name string, data []byte) (Metadata, error) {
	var m plugin.GetMetadataResponse
	if err := decode(data, &m); err != nil {
		return Metadata{}, err
	}
	for _, f := range []struct{ name, value string }{
		{"name", m.Name}, {"description", m.Description}, {"version", m.Version}, {"url", m.URL},
	} {
		if f.value == "" {
			return Metadata{}, fmt.Errorf("metadata has an empty %s", f.name)
		}
	}
	if len(m.Capabilities) == 0 {
		return Metadata{}, errors.New("metadata has no capabilities")
	}
	if m.Name != name {
		return Metadata{}, fmt.Errorf("plugin executable file name must be %q instead of %q", executable(m.Name), executable(name))
	}
	contract, err := chooseContract(m.SupportedContractVersions)
	if err != nil {
		return Metadata{}, err
	}
	caps := make([]string, len(m.Capabilities))
	for i, c := range m.Capabilities {
		caps[i] = string(c)
	}
	return Metadata{Name: m.Name, Description: m.Description, Version: m.Version, URL: m.URL, Contract: contract, Capabilities: caps}, nil
}

// chooseContract picks the plugin's version of our major contract version: the
// same minor or a lower one (PLG-03). A plugin names one per major version.
// Differs from upstream: it looks for its own version in a list of any others.
func chooseContract(versions []string) (string, error) {
	if len(versions) == 0 {
		return "", errors.New("metadata has no supported contract versions")
	}
	ourMajor, ourMinor, err := contractVersion(plugin.ContractVersion)
	if err != nil {
		return "", err
	}
	var majors []int
	chosen, tooHigh := "", ""
	for _, v := range versions {
		major, minor, err := contractVersion(v)
		if err != nil {
			return "", err
		}
		if slices.Contains(majors, major) {
			return "", fmt.Errorf("metadata has more than one contract version %d.x", major)
		}
		majors = append(majors, major)
		switch {
		case major != ourMajor:
		case minor <= ourMinor:
			chosen = v
		default:
			tooHigh = v
		}
	}
	switch {
	case chosen != "":
		return chosen, nil
	case tooHigh != "":
		return "", fmt.Errorf("plugin needs contract version %s, this host speaks %s", tooHigh, plugin.ContractVersion)
	}
	return "", fmt.Errorf("contract version %q is not in the list of the plugin supported versions %q", plugin.ContractVersion, versions)
}

// contractVersion reads "1.0".
func contractVersion(s string) (major, minor int, err error) {
	a, b, ok := strings.Cut(s, ".")
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || strconv.Itoa(major)+"."+strconv.Itoa(minor) != s || major < 0 || minor < 0 {
		return 0, 0, fmt.Errorf("%.32q is not a contract version", s)
	}
	return major, minor, nil
}
