package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/internal/limits"
)

// leafVersion is the first member of every leaf. A change of the encoding
// gets a new number, and ParseLeaf keeps reading the old one: leaves are
// never rewritten.
const leafVersion = 1

// leafTime is RFC 3339 with as many fraction digits as are needed, always Z.
const leafTime = "2006-01-02T15:04:05.999999999Z"

// member is one text member of a leaf, in the order of the encoding.
type member struct {
	name  string
	value string
	hex   int // 0: any text; else the most hexadecimal digits it has
	exact bool
}

// digest is the length of a SHA-256 in hexadecimal, serial the most that a
// certificate's serial number has (20 octets, RFC 5280 section 4.1.2.2).
const (
	digest = 64
	serial = 40
)

// members are e's text members but its kind and time. "attempt" stands
// before the fifth, see Leaf.
func (e *Entry) members() [13]member {
	return [13]member{
		{name: "principal", value: e.Principal},
		{name: "requestId", value: e.RequestID},
		{name: "action", value: e.Action},
		{name: "outcome", value: e.Outcome},
		{name: "reason", value: e.Reason},
		{name: "profileVersion", value: e.ProfileVersion},
		{name: "job", value: e.Job},
		{name: "payloadSha256", value: e.PayloadSHA256, hex: digest, exact: true},
		{name: "signingInputSha256", value: e.SigningInput, hex: digest, exact: true},
		{name: "certificateSha256", value: e.Certificate, hex: digest, exact: true},
		{name: "serial", value: e.Serial, hex: serial},
		{name: "publicKeySha256", value: e.PublicKey, hex: digest, exact: true},
		{name: "detail", value: e.Detail},
	}
}

// Leaf is the entry's canonical encoding, versioned; ParseLeaf reads it back.
//
// It is one JSON object without white space, its members in the order of
// Entry's fields after "v" (the version), empty ones left out; "attempt" is
// there in the kinds that are results and in no other. An entry that cannot
// be read back as it is (an unknown kind, text that is not UTF-8, a digest
// that is none, a year beyond 9999) is an error.
func (e Entry) Leaf() ([]byte, error) {
	if !e.Kind.known() {
		return nil, fmt.Errorf("log entry: unknown kind %q", string(e.Kind))
	}
	at := e.Time.UTC()
	if y := at.Year(); y < 1970 || y > 9999 {
		return nil, fmt.Errorf("log entry: time %s is out of range", at)
	}
	switch {
	case e.Kind.result() && e.Attempt < -1:
		return nil, fmt.Errorf("log entry: attempt %d is no index", e.Attempt)
	case !e.Kind.result() && (e.Attempt < -1 || e.Attempt > 0):
		return nil, fmt.Errorf("log entry: a %s has no attempt", e.Kind)
	}
	out := make([]byte, 0, 768)
	out = append(out, `{"v":1,"kind":"`...)
	out = append(out, e.Kind...)
	out = append(out, `","time":"`...)
	out = at.AppendFormat(out, leafTime)
	out = append(out, '"')
	var err error
	for i, m := range e.members() {
		if i == 5 && e.Kind.result() {
			out = append(out, `,"attempt":`...)
			out = strconv.AppendInt(out, e.Attempt, 10)
		}
		if out, err = m.append(out); err != nil {
			return nil, fmt.Errorf("log entry: %w", err)
		}
	}
	out = append(out, '}')
	if len(out) > limits.LogLeafBytes {
		return nil, fmt.Errorf("log entry: %d bytes, the limit is %d", len(out), limits.LogLeafBytes)
	}
	return out, nil
}

func (m *member) append(out []byte) ([]byte, error) {
	if m.value == "" {
		return out, nil
	}
	if m.hex > 0 && !isHex(m.value, m.hex, m.exact) {
		return nil, fmt.Errorf("%s is not lower-case hexadecimal of its length", m.name)
	}
	if m.hex == 0 && !utf8.ValidString(m.value) {
		return nil, fmt.Errorf("%s is not UTF-8", m.name)
	}
	out = append(out, ',', '"')
	out = append(out, m.name...)
	out = append(out, '"', ':')
	if plain(m.value) {
		out = append(out, '"')
		out = append(out, m.value...)
		return append(out, '"'), nil
	}
	return jsontext.AppendQuote(out, m.value)
}

// plain tells text that JSON writes as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

func isHex(s string, most int, exact bool) bool {
	if len(s) > most || exact && len(s) != most {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// leaf is what ParseLeaf decodes into. Its names are those of members.
type leaf struct {
	Version        int    `json:"v"`
	Kind           Kind   `json:"kind"`
	Time           string `json:"time"`
	Principal      string `json:"principal"`
	RequestID      string `json:"requestId"`
	Action         string `json:"action"`
	Outcome        string `json:"outcome"`
	Reason         string `json:"reason"`
	Attempt        int64  `json:"attempt"`
	ProfileVersion string `json:"profileVersion"`
	Job            string `json:"job"`
	PayloadSHA256  string `json:"payloadSha256"`
	SigningInput   string `json:"signingInputSha256"`
	Certificate    string `json:"certificateSha256"`
	Serial         string `json:"serial"`
	PublicKey      string `json:"publicKeySha256"`
	Detail         string `json:"detail"`
}

var errLeafForm = errors.New("log leaf: not in its canonical form")

// ParseLeaf reads what Leaf wrote, strictly: whatever Leaf would not have
// written byte by byte is refused. A leaf of a newer version says so.
func ParseLeaf(data []byte) (Entry, error) {
	if len(data) > limits.LogLeafBytes {
		return Entry{}, fmt.Errorf("log leaf: %d bytes, the limit is %d", len(data), limits.LogLeafBytes)
	}
	var l leaf
	if err := json.Unmarshal(data, &l, json.RejectUnknownMembers(true)); err != nil {
		var head struct {
			Version int `json:"v"`
		}
		if json.Unmarshal(data, &head) == nil && head.Version > leafVersion {
			return Entry{}, newer(head.Version)
		}
		return Entry{}, fmt.Errorf("log leaf: %w", err)
	}
	if l.Version > leafVersion {
		return Entry{}, newer(l.Version)
	}
	at, err := time.Parse(time.RFC3339Nano, l.Time)
	if err != nil {
		return Entry{}, fmt.Errorf("log leaf: %w", err)
	}
	e := Entry{
		Kind: l.Kind, Time: at.UTC(), Principal: l.Principal, RequestID: l.RequestID, Action: l.Action,
		Outcome: l.Outcome, Reason: l.Reason, Attempt: l.Attempt, ProfileVersion: l.ProfileVersion,
		Job: l.Job, PayloadSHA256: l.PayloadSHA256, SigningInput: l.SigningInput,
		Certificate: l.Certificate, Serial: l.Serial, PublicKey: l.PublicKey, Detail: l.Detail,
	}
	again, err := e.Leaf()
	if err != nil {
		return Entry{}, fmt.Errorf("log leaf: %w", err)
	}
	if !bytes.Equal(again, data) {
		return Entry{}, errLeafForm
	}
	return e, nil
}

func newer(version int) error {
	return fmt.Errorf("log leaf: version %d is newer than this program knows (%d)", version, leafVersion)
}
