package main

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// member is one JSON member: name and value as text.
type member struct{ name, value string }

func quote(s string) string { return string(must(json.Marshal(s))) }

func object(ms []member) string {
	parts := make([]string, len(ms))
	for i, m := range ms {
		parts[i] = quote(m.name) + ":" + m.value
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// set replaces a member's value, or adds it at the end.
func set(ms []member, name, value string) []member {
	for i := range ms {
		if ms[i].name == name {
			ms[i].value = value
			return ms
		}
	}
	return append(ms, member{name, value})
}

func drop(ms []member, name string) []member {
	var kept []member
	for _, m := range ms {
		if m.name != name {
			kept = append(kept, m)
		}
	}
	return kept
}

var b64url = base64.RawURLEncoding.EncodeToString

// jwsDraft is a JWS envelope about to be put together; cases change it.
type jwsDraft struct {
	protected     []member
	protectedText string // instead of protected, if not empty
	payload       []byte
	header        []member
	hash          crypto.Hash
	key           *key
	sign          func(signed []byte) []byte            // instead of key
	parts         func(protected, payload, sig *string) // changes after signing
	top           []member                              // further top-level members, first
	text          func(string) string                   // changes the whole envelope
	timestamp     func(sig []byte) []byte
}

func strings_(ss []string) string { return string(must(json.Marshal(ss))) }

func rfc3339(t time.Time) string { return quote(t.Format(time.RFC3339)) }

func (d *jwsDraft) build() []byte {
	text := d.protectedText
	if text == "" {
		text = object(d.protected)
	}
	protected, payload := b64url([]byte(text)), b64url(d.payload)
	signed := []byte(protected + "." + payload)
	var sig []byte
	if d.sign != nil {
		sig = d.sign(signed)
	} else {
		sig = d.key.raw(d.hash, signed)
	}
	if d.timestamp != nil {
		d.header = set(d.header, "io.cncf.notary.timestampSignature", quote(base64.StdEncoding.EncodeToString(d.timestamp(sig))))
	}
	signature := b64url(sig)
	if d.parts != nil {
		d.parts(&protected, &payload, &signature)
	}
	ms := append([]member(nil), d.top...)
	ms = append(ms, member{"payload", quote(payload)}, member{"protected", quote(protected)},
		member{"header", object(d.header)}, member{"signature", quote(signature)})
	out := object(ms)
	if d.text != nil {
		out = d.text(out)
	}
	return []byte(out)
}

func x5c(chain [][]byte) string {
	ss := make([]string, len(chain))
	for i, c := range chain {
		ss[i] = base64.StdEncoding.EncodeToString(c)
	}
	return strings_(ss)
}
