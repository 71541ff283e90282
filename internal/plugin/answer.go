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

// MetadataFault is what is wrong with an answer to get-plugin-metadata.
type MetadataFault uint8

// The faults.
const (
	_                  MetadataFault = iota
	MetadataUnreadable               // it is no JSON object, or not of that shape
	MetadataInvalid                  // an attribute is missing or cannot be used
	MetadataOtherName                // it names another plugin than its file does
)

// MetadataError is an answer to get-plugin-metadata that cannot be used.
type MetadataError struct {
	Plugin string // by its file
	Fault  MetadataFault
	Err    error
}

// Error is what is wrong.
func (e *MetadataError) Error() string {
	if e.Fault == MetadataInvalid {
		return "metadata validation failed: " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap is what is wrong with the answer.
func (e *MetadataError) Unwrap() error { return e.Err }

// readMetadata reads the answer to get-plugin-metadata (PLG-05). The error is a
// [*MetadataError].
func readMetadata(name string, data []byte) (Metadata, error) {
	fail := func(f MetadataFault, err error) (Metadata, error) {
		return Metadata{}, &MetadataError{Plugin: name, Fault: f, Err: err}
	}
	var m plugin.GetMetadataResponse
	if err := decode(data, &m); err != nil {
		return fail(MetadataUnreadable, err)
	}
	contract, err := checkMetadata(&m)
	if err != nil {
		return fail(MetadataInvalid, err)
	}
	if m.Name != name {
		return fail(MetadataOtherName, fmt.Errorf("plugin executable file name must be %q instead of %q", executable(m.Name), executable(name)))
	}
	caps := make([]string, len(m.Capabilities))
	for i, c := range m.Capabilities {
		caps[i] = string(c)
	}
	return Metadata{Name: m.Name, Description: m.Description, Version: m.Version, URL: m.URL, Contract: contract, Capabilities: caps}, nil
}

// checkMetadata checks that every attribute is there, and chooses the contract
// version.
func checkMetadata(m *plugin.GetMetadataResponse) (contract string, err error) {
	for _, f := range []struct{ name, value string }{
		{"name", m.Name}, {"description", m.Description}, {"version", m.Version}, {"url", m.URL},
	} {
		if f.value == "" {
			return "", errors.New("empty " + f.name)
		}
	}
	if len(m.Capabilities) == 0 {
		return "", errors.New("empty capabilities")
	}
	return chooseContract(m.SupportedContractVersions)
}

// chooseContract picks the plugin's version of our major contract version: the
// same minor or a lower one (PLG-03). A plugin names one per major version.
// Differs from upstream: it looks for its own version in a list of any others.
func chooseContract(versions []string) (string, error) {
	if len(versions) == 0 {
		return "", errors.New("supported contract versions not specified")
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
			return "", fmt.Errorf("more than one contract version %d.x", major)
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
	return "", fmt.Errorf("contract version %q is not in the list of the plugin supported versions %v", plugin.ContractVersion, versions)
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
