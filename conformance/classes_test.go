package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// edit is one change of a valid envelope.
type edit struct {
	title string
	base  string
	jws   func(*jwsMutant)
	cose  func(*coseMutant)
	class string // the one class of the difference; empty: decided alike
}

const (
	plainJWS, authorityJWS, stampedJWS    = "ALG-01/p256-jws", "ATT-03/signing-authority-jws", "ATT-11/timestamp-jws"
	plainCOSE, authorityCOSE, stampedCOSE = "ALG-01/p256-cose", "ATT-03/signing-authority-cose", "ATT-11/timestamp-cose"
)

func signed(pairs ...string) func(*jwsMutant) {
	return func(m *jwsMutant) { m.protected = join(setPairs(split(m.protected), pairs...)) }
}

// critical sets members of the protected header and adds their names to crit.
func critical(pairs ...string) func(*jwsMutant) {
	return func(m *jwsMutant) {
		signed(pairs...)(m)
		m.protected = changeList(m.protected, "crit", func(l []string) []string {
			for i := 0; i < len(pairs); i += 2 {
				l = append(l, pairs[i])
			}
			return l
		})
	}
}

func unsigned(pairs ...string) func(*jwsMutant) {
	return func(m *jwsMutant) { m.header = setPairs(m.header, pairs...) }
}

// target sets members of the payload's descriptor.
func target(pairs ...string) func(*jwsMutant) {
	return func(m *jwsMutant) {
		ps := split(m.payload)
		ps[0].value = string(join(setPairs(split([]byte(ps[0].value)), pairs...)))
		m.payload = join(ps)
	}
}

func top(name, value string) func(*jwsMutant) {
	return func(m *jwsMutant) { m.top = append(m.top, pair{name, value}) }
}

func setPairs(ps []pair, pairs ...string) []pair {
	for i := 0; i < len(pairs); i += 2 {
		ps = append(slices.DeleteFunc(ps, func(p pair) bool { return p.name == pairs[i] }), pair{pairs[i], pairs[i+1]})
	}
	return ps
}

// labels sets entries of the protected header: label, value. A value that is a
// cbor.RawMessage is encoded already.
func labels(pairs ...any) func(*coseMutant) {
	return func(m *coseMutant) { m.protected = setEntries(m.protected, pairs...) }
}

// criticalLabels is labels, and adds them to crit.
func criticalLabels(pairs ...any) func(*coseMutant) {
	return func(m *coseMutant) {
		m.protected = setEntries(m.protected, pairs...)
		for i := 0; i < len(pairs); i += 2 {
			m.protected = listed(m.protected, cborOf(pairs[i]))
		}
	}
}

func unsignedLabels(pairs ...any) func(*coseMutant) {
	return func(m *coseMutant) { m.unprotected = setEntries(m.unprotected, pairs...) }
}

func setEntries(es []entry, pairs ...any) []entry {
	for i := 0; i < len(pairs); i += 2 {
		key := cborOf(pairs[i])
		value, encoded := pairs[i+1].(cbor.RawMessage)
		if !encoded {
			value = cborOf(pairs[i+1])
		}
		es = append(slices.DeleteFunc(es, func(e entry) bool { return bytes.Equal(e.key, key) }), entry{key, value})
	}
	return es
}

// text is a JSON string of that many bytes.
func text(n int) string { return `"` + strings.Repeat("A", n) + `"` }

func raw(b ...byte) cbor.RawMessage { return b }

// moved moves the chain of a COSE envelope into the protected header.
func moved(m *coseMutant) {
	for i, e := range m.unprotected {
		if bytes.Equal(e.key, cborOf(33)) {
			m.protected, m.unprotected = append(m.protected, e), slices.Delete(m.unprotected, i, i+1)
			return
		}
	}
}

func doubled(m *coseMutant) {
	kept := slices.Clone(m.unprotected)
	moved(m)
	m.unprotected = kept
}

// edits are, for every class that needs no certificate or token of its own,
// envelopes that are in it, and envelopes next to it that are not: both sides
// refuse or accept them.
func edits() []edit {
	const scheme, expiry, signing, authentic = notary + "signingScheme", notary + "expiry", notary + "signingTime", notary + "authenticSigningTime"
	const token, agent, minimum = notary + "timestampSignature", notary + "signingAgent", notary + "verificationPluginMinVersion"
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	nested := append(bytes.Repeat([]byte{0x81}, 20), 0x80)
	out := []edit{
		{"a member twice", plainJWS, signed(scheme, `"notary.x509","x":[{"a":1,"a":2}]`), nil, "member-twice"},
		{"cty, and CTY, which counts for one of them", plainJWS, signed("cty", "null", "CTY", `"application/vnd.cncf.notary.payload.v1+json"`), nil, "member-twice"},
		{"names that differ in case and mean nothing", plainJWS, signed("a", "1", "A", "2"), nil, ""},
		{"a further top-level member", plainJWS, top("signatures", `[]`), nil, "further-member"},
		{"a further member of the payload", plainJWS, func(m *jwsMutant) { m.payload = append(m.payload[:len(m.payload)-1], `,"a":1}`...) }, nil, "payload-further-member"},
		{"an expiry in capitals", plainJWS, signed(strings.ToUpper(notary+"expiry"), `null`), nil, "name-in-other-case"},
		{"x5c in capitals", plainJWS, unsigned("X5C", `null`), nil, ""},
		{"a timestamp with a long s", plainJWS, unsigned(notary+"timestamp\u017fignature", `"AAAA"`), nil, "name-in-other-case"},
		{"a descriptor member in capitals", plainJWS, target("Annotations", `{}`), nil, "name-in-other-case"},
		{"a lone surrogate", plainJWS, signed("a", `"\ud800"`), nil, "invalid-text"},
		{"an expiry in the year 1, critical", plainJWS, critical(expiry, `"0001-01-01T00:00:00Z"`), nil, ""},
		{"an expiry in the year 1, not critical", plainJWS, signed(expiry, `"0001-01-01T01:00:00+01:00"`), nil, "expiry-of-year-one-not-critical"},
		{"an expiry that is not critical", plainJWS, signed(expiry, `"2099-01-01T00:00:00Z"`), nil, ""},
		{"an expiry in the year 10000 of UTC", plainJWS, critical(expiry, `"9999-12-31T23:59:59-01:00"`), nil, "time-out-of-range"},
		{"a signing time in the year 0", plainJWS, signed(signing, `"0000-06-01T00:00:00Z"`), nil, "time-out-of-range"},
		{"an expiry that is null", plainJWS, signed(expiry, `null`), nil, ""},
		{"an expiry that is null and critical", plainJWS, critical(expiry, `null`), nil, ""},
		{"a signing time that is critical", plainJWS, critical(signing, `"2025-03-01T00:00:00Z"`), nil, ""},
		{"a signing time under an authority", authorityJWS, signed(signing, `"2025-03-01T00:00:00Z"`), nil, ""},
		{"an authentic time under notary.x509", plainJWS, critical(authentic, `"2025-03-01T00:00:00Z"`), nil, ""},
		{"times of the other scheme that are null", plainJWS, signed(authentic, `null`), nil, ""},
		{"an unknown critical attribute", plainJWS, critical("com.example.a", `null`), nil, "unknown-critical-attribute"},
		{"b64, critical", plainJWS, critical("b64", `false`), nil, "unknown-critical-attribute"},
		{"a critical attribute that is absent", plainJWS, func(m *jwsMutant) {
			m.protected = changeList(m.protected, "crit", func(l []string) []string { return append(l, "com.example.a") })
		}, nil, ""},
		{"a minimum version without a plugin", plainJWS, critical(minimum, `"1.0.0"`), nil, "minimum-version-without-plugin"},
		{"a minimum version that is none, without a plugin", plainJWS, signed(minimum, `1`), nil, "minimum-version-without-plugin"},
		{"a plugin that is not critical", plainJWS, signed(notary+"verificationPlugin", `"example"`), nil, ""},
		{"crit lists null, and there is no such header", plainJWS, signed("crit", `["`+scheme+`",null]`), nil, ""},
		{"crit lists null, and there is a header without a name", plainJWS, signed("crit", `["`+scheme+`",null]`, "", `1`), nil, "crit-lists-null"},
		{"crit lists a number", plainJWS, signed("crit", `["`+scheme+`",1]`), nil, ""},
		{"x5c is null", plainJWS, unsigned("x5c", `null`), nil, ""},
		{"x5c holds null", plainJWS, unsigned("x5c", `[null]`), nil, ""},
		{"an empty array for a timestamp", plainJWS, unsigned(token, `[]`), nil, "timestamp-as-numbers"},
		{"a timestamp that is null", plainJWS, unsigned(token, `null`), nil, ""},
		{"a timestamp that is a number", plainJWS, unsigned(token, `1`), nil, ""},
		{"a signing agent that is a number", plainJWS, unsigned(agent, `1`), nil, "agent-is-no-text"},
		{"an annotation that is null", plainJWS, target("annotations", `{"a b: \" c":null}`), nil, "annotation-is-null"},
		{"an annotation that is a number", plainJWS, target("annotations", `{"a":1}`), nil, ""},
		{"urls that are no list", plainJWS, target("urls", `1e3`), nil, "other-descriptor-members"},
		{"urls that hold a number", plainJWS, target("urls", `[1]`), nil, "other-descriptor-members"},
		{"data that is no base64", plainJWS, target("data", `"***"`), nil, "other-descriptor-members"},
		{"data that is too large a number", plainJWS, target("data", `[256]`), nil, "other-descriptor-members"},
		{"a platform that is text", plainJWS, target("platform", `"linux"`), nil, "other-descriptor-members"},
		{"a platform of another architecture", plainJWS, target("platform", `{"architecture":1}`), nil, "other-descriptor-members"},
		{"an artifact type in capitals that is a number", plainJWS, target("ARTIFACTTYPE", `1`), nil, "other-descriptor-members"},
		{"a descriptor with every member of the image specification", plainJWS, target("urls", `["a"]`, "data", `"AA=="`, "platform", `{"architecture":"a","os":"b"}`, "artifactType", `"a/b"`), nil, ""},
		{"a size that is a fraction", plainJWS, target("size", `16724.0`), nil, ""},
		{"JSON that is nested deep, in the envelope", plainJWS, unsigned("a", deep), nil, "bounds"},
		{"JSON that is nested deep, in the protected header", plainJWS, signed("a", deep), nil, "bounds"},
		{"JSON that is nested deep, in the payload", plainJWS, target("a", deep), nil, "bounds"},
		{"a number beyond any float, in the protected header", plainJWS, signed("a", `1e999`), nil, ""},
		{"a number beyond any float, in the unprotected header", plainJWS, unsigned("a", `1e999`), nil, ""},
		{"a number beyond any float, in the payload", plainJWS, target("a", `1e999`), nil, ""},
		{"seventy attributes", plainJWS, func(m *jwsMutant) {
			for i := range 70 {
				signed(fmt.Sprint("a", i), "1")(m)
			}
		}, nil, "bounds"},
		{"a hundred names in crit, of two headers", plainJWS, func(m *jwsMutant) {
			signed("a", "1")(m)
			m.protected = changeList(m.protected, "crit", func(l []string) []string { return append(l, slices.Repeat([]string{"a"}, 100)...) })
		}, nil, "bounds"},
		{"a protected header of more than 256 kB", plainJWS, signed("a", text(300_000)), nil, "bounds"},
		{"an unprotected header of more than 256 kB", plainJWS, unsigned("a", text(300_000)), nil, "bounds"},
		{"a payload of more than 1 MB", plainJWS, target("a", text(1_100_000)), nil, "bounds"},
		{"a timestamp of more than 1 MB, where none is looked at", plainJWS, unsigned(token, text(1_500_000)), nil, "bounds"},
		{"an envelope of more than 10 MB", plainJWS, unsigned("a", text(11_000_000)), nil, "bounds"},

		{"the signing time, critical", plainCOSE, nil, func(m *coseMutant) { m.protected = listed(m.protected, cborOf(signing)) }, "informational-critical"},
		{"a signing time under an authority", authorityCOSE, nil, labels(signing, raw(0xc1, 0x01)), "signing-time-of-an-authority"},
		{"an authentic time under notary.x509", plainCOSE, nil, labels(authentic, raw(0xc1, 0x01)), "authentic-time-under-x509"},
		{"an authentic time that is text, under notary.x509", plainCOSE, nil, labels(authentic, "now"), "ignored-time-malformed"},
		{"an authentic time that is null, under notary.x509", plainCOSE, nil, labels(authentic, nil), "ignored-time-malformed"},
		{"a signing time that is text, under an authority", authorityCOSE, nil, labels(signing, "now"), "ignored-time-malformed"},
		{"an expiry that is text", plainCOSE, nil, criticalLabels(expiry, "now"), ""},
		{"an expiry in the year 1, critical", plainCOSE, nil, criticalLabels(expiry, raw(0xc1, 0x3b, 0, 0, 0, 0x0e, 0x77, 0x91, 0xf6, 0xff)), "expiry-of-year-one"},
		{"an expiry in the year 1, not critical", plainCOSE, nil, labels(expiry, raw(0xc1, 0x3b, 0, 0, 0, 0x0e, 0x77, 0x91, 0xf6, 0xff)), ""},
		{"an expiry in the year 10000", plainCOSE, nil, criticalLabels(expiry, raw(0xc1, 0x1b, 0, 0, 0, 0x3a, 0xff, 0xf4, 0x41, 0x80)), "time-out-of-range"},
		{"an expiry that is infinite", plainCOSE, nil, criticalLabels(expiry, raw(0xc1, 0xf9, 0x7c, 0x00)), "time-is-no-number"},
		{"an expiry of tag 1 that is null", plainCOSE, nil, criticalLabels(expiry, raw(0xc1, 0xf6)), ""},
		{"an expiry of tag 1 that is text", plainCOSE, nil, criticalLabels(expiry, raw(0xc1, 0x61, 0x31)), ""},
		{"crit lists a label of 0 to 8", plainCOSE, nil, criticalLabels(4, []byte{1}), "crit-lists-integer-label"},
		{"crit lists a label above 8", plainCOSE, nil, criticalLabels(int64(1)<<40, "a"), "unknown-critical-attribute"},
		{"crit lists the empty name", plainCOSE, nil, criticalLabels("", "a"), "unknown-critical-attribute"},
		{"a minimum version without a plugin", plainCOSE, nil, criticalLabels(minimum, "1.0.0"), "minimum-version-without-plugin"},
		{"the label without a name, and NUL", plainCOSE, nil, labels("", "a", "\x00", "b"), ""},
		{"crit lists NUL, and the label without a name is there", plainCOSE, nil, func(m *coseMutant) {
			labels("", "a")(m)
			m.protected = listed(m.protected, cborOf("\x00"))
		}, ""},
		{"the chain in both headers", plainCOSE, nil, doubled, "two-chains"},
		{"the chain in the protected header", plainCOSE, nil, moved, "protected-chain"},
		{"a timestamp that is text", plainCOSE, nil, unsignedLabels(token, "AAAA"), "timestamp-of-another-type"},
		{"a timestamp that is text, where one has to be", stampedCOSE, nil, unsignedLabels(token, "AAAA"), ""},
		{"a signing agent that is no UTF-8", plainCOSE, nil, unsignedLabels(agent, raw(0x62, 0xc3, 0x28)), "agent-is-odd"},
		{"a signing agent that is a map with a key twice", plainCOSE, nil, unsignedLabels(agent, raw(0xa2, 0, 0, 0, 0)), "agent-is-odd"},
		{"a signing agent that is a map with a list for a key", plainCOSE, nil, unsignedLabels(agent, raw(0xa1, 0x80, 0)), "agent-is-odd"},
		{"a signing agent that is a number", plainCOSE, nil, unsignedLabels(agent, 1), ""},
		{"a signing agent beyond 63 bits", plainCOSE, nil, unsignedLabels(agent, raw(0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0)), "agent-is-odd"},
		{"a signing agent below 64 bits", plainCOSE, nil, unsignedLabels(agent, raw(0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)), ""},
		{"an unknown parameter that is no UTF-8", plainCOSE, nil, unsignedLabels("a", raw(0x62, 0xc3, 0x28)), ""},
		{"a further member of the payload", plainCOSE, nil, func(m *coseMutant) { m.payload = append(m.payload[:len(m.payload)-1], `,"a":1}`...) }, "payload-further-member"},
		{"the payload's member twice", plainCOSE, nil, func(m *coseMutant) { m.payload = join(append(split(m.payload), split(m.payload)...)) }, "member-twice"},
		{"a hundred labels in crit, of two headers", plainCOSE, nil, func(m *coseMutant) {
			labels("a", "b")(m)
			for range 100 {
				m.protected = listed(m.protected, cborOf("a"))
			}
		}, "bounds"},
		{"two hundred attributes", plainCOSE, nil, func(m *coseMutant) {
			for i := range 200 {
				labels(i+100, "a")(m)
			}
		}, "bounds"},
		{"seventy attributes", plainCOSE, nil, func(m *coseMutant) {
			for i := range 70 {
				labels(i+100, "a")(m)
			}
		}, "bounds"},
		{"two hundred unprotected parameters", plainCOSE, nil, func(m *coseMutant) {
			for i := range 200 {
				unsignedLabels(i+100, "a")(m)
			}
		}, "bounds"},
		{"a protected header of more than 256 kB", plainCOSE, nil, labels("a", text(300_000)), "bounds"},
		{"an unprotected header of more than 256 kB", plainCOSE, nil, unsignedLabels("a", text(300_000)), "bounds"},
		{"a timestamp of more than 1 MB, where none is looked at", plainCOSE, nil, unsignedLabels(token, make([]byte, 1_100_000)), "bounds"},
		{"CBOR that is nested deep, in the unprotected header", plainCOSE, nil, unsignedLabels("a", raw(nested...)), "bounds"},
		{"CBOR that is nested deep, in the protected header", plainCOSE, nil, labels("a", raw(nested...)), "bounds"},
	}
	for _, name := range []string{"jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ"} {
		out = append(out, edit{"crit lists " + name + ", which is there", plainJWS, critical(name, `null`), nil, "crit-lists-registered-header"})
	}
	for _, name := range []string{"alg", "cty", "crit"} {
		out = append(out, edit{"crit lists " + name, plainJWS, func(m *jwsMutant) {
			m.protected = changeList(m.protected, "crit", func(l []string) []string { return append(l, name) })
		}, nil, ""})
	}
	return out
}

// Each class of differences between envelopes is met: a difference that is gone
// leaves the list, and one that is new enters it before a mutation finds it.
// An envelope is in one class only, or one would hide the other.
func TestClassesAreMet(t *testing.T) {
	a := newArena(t)
	met := map[string]bool{}
	for _, c := range edits() {
		t.Run(c.base+"/"+c.title, func(t *testing.T) {
			s := newStage(t, loadVector(t, c.base))
			var e []byte
			if c.jws != nil {
				m, ok := openJWS(s.envelope)
				if !ok {
					t.Fatal("the base is no JWS")
				}
				c.jws(m)
				e = m.seal(a.key)
			} else {
				m, ok := openCOSE(s.envelope)
				if !ok {
					t.Fatal("the base is no COSE")
				}
				c.cose(m)
				e = m.seal(a.key)
			}
			ours, message, theirs := s.decide(t, e)
			if alike := ours == decision(theirs != nil); alike || c.class == "" {
				if !alike || c.class != "" {
					t.Errorf("Shuin %s, notation-go %s; want class %q: %s (%v)\n%s", ours, decision(theirs != nil), c.class, message, theirs, printable(e))
				}
				return
			}
			got := a.classesOf(s.media, e, ours, message)
			for _, name := range got {
				met[name] = true
			}
			if !slices.Equal(got, []string{c.class}) {
				t.Errorf("in classes %q, want %q: Shuin %s, %s\n%s", got, c.class, ours, message, printable(e))
			}
		})
	}
	var list differences
	loadJSON(t, differencesFile, &list)
	for id, d := range list.Vectors {
		v := loadVector(t, id)
		if v.Kind != "envelope" {
			continue
		}
		in := input[envelopeCase](t, v)
		if in.Plugin != nil {
			continue // mutants meet no plugin
		}
		reasons, theirs := shuinDecides(t, v), upstreamVerify(t.Context(), in)
		message := ""
		if len(reasons) > 0 {
			message = messageOf(reasons)
		} else if theirs != nil {
			message = theirs.Error()
		}
		got := a.classesOf(in.Signatures[0].MediaType, in.Signatures[0].content(), d.Shuin, message)
		for _, name := range got {
			met[name] = true
		}
		if len(got) != 1 && d.Shuin == "refuses" {
			t.Errorf("%s is in the classes %q: %s", id, got, message)
		}
	}
	for _, c := range a.classes {
		if c.Kind == "" && !met[c.Name] {
			t.Errorf("class %s is not met by any envelope here", c.Name)
		}
	}
}
