package conformance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// A mutation program changes a valid envelope, as its bytes say, in ways that
// random bytes would hardly find: members and labels are removed, doubled,
// renamed and given other values, crit and the chain are rearranged, base64 is
// respelt, and the result is signed again, so that it is judged by its content
// and not refused for its signature alone. The same bytes always do the same.

// tape is a program being read; past its end it gives zeros.
type tape struct{ b []byte }

func (t *tape) next() int {
	if len(t.b) == 0 {
		return 0
	}
	v := int(t.b[0])
	t.b = t.b[1:]
	return v
}

func (t *tape) more() bool { return len(t.b) > 0 }

func pick[T any](t *tape, of []T) T { return of[t.next()%len(of)] }

// signerKey signs what was changed: the key of the vectors' usual leaf.
type signerKey struct{ *ecdsa.PrivateKey }

func (k signerKey) sign(h crypto.Hash, message []byte) []byte {
	w := h.New()
	w.Write(message)
	der, err := k.PrivateKey.Sign(nil, w.Sum(nil), h)
	if err != nil {
		return nil
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil
	}
	size := (k.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	return out
}

type pair struct{ name, value string }

// split takes a JSON object apart, keeping order and text.
func split(object []byte) []pair {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil
	}
	var out []pair
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return out
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return out
		}
		name, _ := k.(string)
		out = append(out, pair{name, string(v)})
	}
	return out
}

func join(ps []pair) []byte {
	var b strings.Builder
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(p.name)
		b.Write(name)
		b.WriteString(":" + p.value)
	}
	b.WriteByte('}')
	return []byte(b.String())
}

const notary = "io.cncf.notary."

var (
	jsonNames = []string{"alg", "cty", "crit", notary + "signingScheme", notary + "signingTime", notary + "authenticSigningTime", notary + "expiry",
		"x5c", "kid", "b64", "typ", "ALG", "Crit", "com.example.unknown", notary + "verificationPlugin", notary + "verificationPluginMinVersion",
		notary + "timestampSignature", notary + "signingAgent", "payload", "protected", "header", "signature", "signatures", "", "\u00e9",
		"targetArtifact", "mediaType", "digest", "size", "annotations", "Digest", notary + "SigningScheme",
		"jku", "jwk", "x5u", "x5t", "x5t#S256", "urls", "data", "platform", "artifactType", "Data", "architecture", "X5C", "\u017figned", notary + "timestamp\u017fignature",
		"org.example.a", notary + "x509chain.thumbprint#S256", "iat", "exp", "nbf"}
	jsonValues = []string{`null`, `true`, `""`, `0`, `1e3`, `[]`, `{}`, `"ES256"`, `"ES384"`, `"none"`, `"notary.x509"`, `"notary.x509.signingAuthority"`,
		`"application/vnd.cncf.notary.payload.v1+json"`, `"2025-03-01T00:00:00Z"`, `"2025-03-01T00:00:00.5Z"`, `"2025-03-01t00:00:00z"`, `"2099-01-01T00:00:00Z"`,
		`"2025-03-01T00:00:60Z"`, `"2001-01-01T00:00:00Z"`, `"2025-03-01 00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `["` + notary + `signingScheme"]`, `["` + notary + `signingScheme","` + notary + `expiry"]`,
		`[1]`, `[null]`, `"\ud800"`, `"example"`, `"1.0.0"`, `16724`, `16724.0`, `-1`, `"sha256:73c803930ea3ba1e54bc25c2bdc53edd0284c62ed651fe7b00369da519a3c333"`,
		`{"a":"b"}`, `{"a":1}`, `{"a":"b","a":"c"}`, `18446744073709551616`, `"AAAA"`, `["AAAA"]`, `"A\u0000"`,
		`1e999`, `-1e999`, `[1e999]`, `{"a":null}`, `[{"a":1,"a":2}]`, `{"a":{"b":1,"b":2}}`, `"9999-12-31T23:59:59-01:00"`, `"0000-06-01T00:00:00Z"`, `"0001-01-01T01:00:00+01:00"`, `"0001-01-01T00:00:00.000000001Z"`,
		`"2025-03-01T00:00:00+24:00"`, `"2025-03-01T0:00:00Z"`, `"2025-03-01T00:00:00,5Z"`, `"9999-12-31T23:59:59Z"`, `["` + notary + `signingScheme",null]`, `{"architecture":1}`, `"\u00e9"`, `-0`, `0.1e-400`, `"\/"`,
		strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat("[", 31) + strings.Repeat("]", 31), `"=="`, `"AA=="`, `"AA"`, `"AAB="`, `"=\n"`}
)

// mutatePairs changes one member.
func mutatePairs(t *tape, ps []pair) []pair {
	op := t.next() % 6
	if op == 0 || len(ps) == 0 {
		i := t.next() % (len(ps) + 1)
		return slices.Insert(slices.Clone(ps), i, pair{pick(t, jsonNames), pick(t, jsonValues)})
	}
	ps = slices.Clone(ps)
	i := t.next() % len(ps)
	switch op {
	case 1:
		return slices.Delete(ps, i, i+1)
	case 2:
		return slices.Insert(ps, t.next()%(len(ps)+1), ps[i])
	case 3:
		ps[i].name = pick(t, jsonNames)
	case 4:
		ps[i].value = pick(t, jsonValues)
	case 5:
		j := t.next() % len(ps)
		ps[i], ps[j] = ps[j], ps[i]
	}
	return ps
}

func mutateStrings(t *tape, list []string, others []string) []string {
	list = slices.Clone(list)
	op := t.next() % 4
	if len(list) == 0 {
		op = 0
	}
	switch i := t.next(); op {
	case 0:
		return slices.Insert(list, i%(len(list)+1), pick(t, others))
	case 1:
		return slices.Delete(list, i%len(list), i%len(list)+1)
	case 2:
		return append(list, list[i%len(list)])
	default:
		j := t.next() % len(list)
		list[i%len(list)], list[j] = list[j], list[i%len(list)]
	}
	return list
}

// jwsMutant is a JWS envelope taken apart.
type jwsMutant struct {
	protected, payload []byte
	header, top        []pair
	sig                []byte
	hash               crypto.Hash
	resign             bool
	spell              func(string) string // of base64url
	finish             func([]byte) []byte
}

func openJWS(envelope []byte) (*jwsMutant, bool) {
	m := &jwsMutant{hash: crypto.SHA256, resign: true}
	for _, p := range split(envelope) {
		var s string
		_ = json.Unmarshal([]byte(p.value), &s)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		switch p.name {
		case "payload":
			m.payload = b
		case "protected":
			m.protected = b
		case "signature":
			m.sig = b
		case "header":
			m.header = split([]byte(p.value))
		}
	}
	return m, m.protected != nil && m.header != nil
}

func (m *jwsMutant) seal(k signerKey) []byte {
	enc := base64.RawURLEncoding.EncodeToString
	protected, payload := enc(m.protected), enc(m.payload)
	if m.spell != nil {
		protected = m.spell(protected)
	}
	sig := m.sig
	if m.resign {
		sig = k.sign(m.hash, []byte(protected+"."+payload))
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	ps := append([]pair{{"payload", quote(payload)}, {"protected", quote(protected)}, {"header", string(join(m.header))}, {"signature", quote(enc(sig))}}, m.top...)
	out := join(ps)
	if m.finish != nil {
		out = m.finish(out)
	}
	return out
}

func mutateJWS(t *tape, envelope []byte, k signerKey, certs []string) []byte {
	m, ok := openJWS(envelope)
	if !ok {
		return envelope
	}
	for n := 0; t.more() && n < 6; n++ {
		switch t.next() % 20 {
		case 12:
			for i := range m.header {
				var token []byte
				if m.header[i].name == notary+"timestampSignature" && json.Unmarshal([]byte(m.header[i].value), &token) == nil {
					b, _ := json.Marshal(mutateBytes(t, token))
					m.header[i].value = string(b)
				}
			}
		case 0, 1, 2:
			m.protected = join(mutatePairs(t, split(m.protected)))
		case 3:
			m.protected = changeList(m.protected, "crit", func(l []string) []string { return mutateStrings(t, l, jsonNames) })
		case 4:
			m.header = mutatePairs(t, m.header)
		case 5, 6:
			m.header = split(changeList(join(m.header), "x5c", func(l []string) []string { return mutateStrings(t, l, certs) }))
		case 7:
			m.payload = mutatePayload(t, m.payload)
		case 8:
			m.top = append(m.top, pair{pick(t, jsonNames), pick(t, jsonValues)})
		case 9:
			m.spell = pick(t, []func(string) string{nil, func(s string) string { return s + "=" }, func(s string) string { return s + "\n" },
				func(s string) string { return strings.NewReplacer("-", "+", "_", "/").Replace(s) }, func(s string) string { return s[:len(s)/2] + "\r\n" + s[len(s)/2:] },
				func(s string) string { return s + "A" }})
		case 10:
			m.hash = pick(t, []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512})
		case 11:
			m.resign = false
			if len(m.sig) > 0 && t.next()%2 == 0 {
				m.sig[t.next()%len(m.sig)] ^= byte(t.next())
			}
		case 13: // one more attribute, marked critical
			name := pick(t, jsonNames)
			ps := split(m.protected)
			ps = slices.Insert(ps, t.next()%(len(ps)+1), pair{name, pick(t, jsonValues)})
			m.protected = changeList(join(ps), "crit", func(l []string) []string { return append(l, name) })
		case 14: // an attribute that is there is marked critical
			if ps := split(m.protected); len(ps) > 0 {
				m.protected = changeList(m.protected, "crit", func(l []string) []string { return append(l, pick(t, ps).name) })
			}
		case 15:
			m.protected = []byte(mutateDeep(t, string(m.protected), 0))
		case 16:
			m.payload = []byte(mutateDeep(t, string(m.payload), 0))
		case 17:
			m.header = split([]byte(mutateDeep(t, string(join(m.header)), 0)))
		case 18: // bytes that are signed
			m.protected = mutateBytes(t, m.protected)
		case 19:
			m.payload = mutateBytes(t, m.payload)
		}
	}
	return m.seal(k)
}

// mutateDeep changes one thing somewhere in a JSON value, and tells a string
// by its escapes.
func mutateDeep(t *tape, value string, depth int) string {
	value = strings.TrimSpace(value)
	switch {
	case depth > 4 || value == "":
		return pick(t, jsonValues)
	case value[0] == '{':
		ps := split([]byte(value))
		if len(ps) > 0 && t.next()%3 != 0 {
			i := t.next() % len(ps)
			ps[i].value = mutateDeep(t, ps[i].value, depth+1)
			return string(join(ps))
		}
		return string(join(mutatePairs(t, ps)))
	case value[0] == '[':
		var l []json.RawMessage
		_ = json.Unmarshal([]byte(value), &l)
		i := t.next()
		switch op := t.next() % 4; {
		case len(l) == 0 || op == 0:
			l = slices.Insert(l, i%(len(l)+1), json.RawMessage(pick(t, jsonValues)))
		case op == 1:
			l = append(l, l[i%len(l)])
		case op == 2:
			l = slices.Delete(l, i%len(l), i%len(l)+1)
		default:
			l[i%len(l)] = json.RawMessage(mutateDeep(t, string(l[i%len(l)]), depth+1))
		}
		parts := make([]string, len(l))
		for i := range l {
			parts[i] = string(l[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case value[0] == '"':
		var text string
		if json.Unmarshal([]byte(value), &text) != nil {
			return pick(t, jsonValues)
		}
		i := t.next() % (len(text) + 1)
		switch t.next() % 8 {
		case 0:
			if i < len(text) && text[i] < 0x80 && text[i] != '"' && text[i] != '\\' {
				quoted, _ := json.Marshal(text[:i])
				rest, _ := json.Marshal(text[i+1:])
				return fmt.Sprintf(`%s\u%04x%s`, quoted[:len(quoted)-1], text[i], rest[1:])
			}
		case 1:
			return numbers([]byte(text))
		case 2:
			if b, err := base64.StdEncoding.DecodeString(text); err == nil {
				return numbers(b)
			}
		case 3:
			text = text[:i] + "\r\n" + text[i:]
		case 4:
			text = strings.ToUpper(text)
		case 5:
			text = text[:i]
		case 6:
			text = text[:i] + string(rune(t.next())) + text[i:]
		default:
			return pick(t, jsonValues)
		}
		b, _ := json.Marshal(text)
		return string(b)
	}
	return pick(t, jsonValues)
}

// numbers writes bytes as a JSON array.
func numbers(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = strconv.Itoa(int(b[i]))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func changeList(object []byte, name string, f func([]string) []string) []byte {
	ps := split(object)
	for i := range ps {
		if ps[i].name != name {
			continue
		}
		var l []string
		if json.Unmarshal([]byte(ps[i].value), &l) != nil {
			continue
		}
		b, _ := json.Marshal(f(l))
		ps[i].value = string(b)
	}
	return join(ps)
}

// mutatePayload changes the payload or its targetArtifact.
func mutatePayload(t *tape, payload []byte) []byte {
	ps := split(payload)
	if t.next()%3 == 0 || len(ps) == 0 {
		return join(mutatePairs(t, ps))
	}
	ps[0].value = string(join(mutatePairs(t, split([]byte(ps[0].value)))))
	return join(ps)
}

// entry is one entry of a CBOR map, encoded.
type entry struct{ key, value []byte }

func cborOf(v any) []byte { b, _ := cbor.Marshal(v); return b }

var (
	cborKeys = [][]byte{cborOf(1), cborOf(2), cborOf(3), cborOf(4), cborOf(33), cborOf(34), cborOf(-1), cborOf(int64(1) << 40), cborOf(notary + "signingScheme"),
		cborOf(notary + "signingTime"), cborOf(notary + "authenticSigningTime"), cborOf(notary + "expiry"), cborOf(notary + "verificationPlugin"),
		cborOf(notary + "timestampSignature"), cborOf(notary + "signingAgent"), cborOf("com.example.unknown"), cborOf(""), {0x18, 0x01}, {0x41, 0x01}, {0xf6}, {0x63, 0xff, 0xff, 0xff},
		{0x7f, 0x61, 0x61, 0xff}, cborOf(0), cborOf(5), cborOf(6), cborOf(7), cborOf(8), cborOf(9), cborOf(11), cborOf(12), cborOf(15), cborOf(16), cborOf(32), cborOf(-34),
		{0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0}, {0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0}, cborOf("\x00"), cborOf(notary + "SigningScheme"),
		cborOf(notary + "verificationPluginMinVersion"), {0xc1, 0x01}, {0xf9, 0x3c, 0x00}}
	cborValues = [][]byte{{0xf6}, {0xf7}, {0xf5}, {0x00}, {0x20}, cborOf(-7), cborOf(-35), cborOf("ES256"), cborOf(""), cborOf("notary.x509"), cborOf("notary.x509.signingAuthority"),
		cborOf("application/vnd.cncf.notary.payload.v1+json"), {0x80}, {0xa0}, {0x40}, cborOf([]any{notary + "signingScheme"}), cborOf([]any{1}), cborOf([]any{notary + "signingScheme", 3}),
		{0xc1, 0x1a, 0x67, 0xc2, 0x4b, 0x00}, {0xc1, 0xfb, 0x41, 0xd9, 0xf0, 0x92, 0xc0, 0x20, 0, 0}, {0xc1, 0x3a, 0x67, 0xc2, 0x4b, 0x00}, {0xc1, 0xf9, 0x7c, 0x00}, {0xc1, 0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0xc1, 0xc1, 0x00}, {0xc0, 0x74, '2', '0', '2', '5', '-', '0', '3', '-', '0', '1', 'T', '0', '0', ':', '0', '0', ':', '0', '0', 'Z'}, {0x1a, 0x67, 0xc2, 0x4b, 0x00},
		{0xc1, 0x1a, 0xf0, 0, 0, 0}, {0x9f, 0xff}, {0x5f, 0x41, 0x00, 0xff}, {0xc2, 0x41, 0x01}, {0x38, 0x06}, {0xd8, 0x20, 0x61, 0x61}, {0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0}, {0xe0}, {0x81, 0x81, 0x81, 0x80},
		{0x62, 0xc3, 0x28}, {0xc1, 0xf6}, {0xc1, 0xf7}, {0xc1, 0xf4}, {0xc1, 0xf9, 0x7e, 0x00}, {0xc1, 0xfa, 0x7f, 0x80, 0, 0}, {0xc1, 0x3b, 0x00, 0x00, 0x00, 0x0e, 0x77, 0x91, 0xf6, 0xff}, {0xc1, 0x3b, 0x00, 0x00, 0x00, 0x0e, 0x77, 0x91, 0xf7, 0x00},
		{0xc1, 0x1b, 0x00, 0x00, 0x00, 0x3a, 0xff, 0xf4, 0x41, 0x7f}, {0xc1, 0x1b, 0x00, 0x00, 0x00, 0x3a, 0xff, 0xf4, 0x41, 0x80}, {0xc1, 0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0xc1, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0xc1, 0xfb, 0xc1, 0xcd, 0xae, 0xde, 0x80, 0x00, 0x00, 0x00}, {0xc1, 0xc2, 0x41, 0x01}, {0xc1, 0x61, 0x31}, {0xa1, 0x80, 0x00}, {0xa2, 0x00, 0x00, 0x00, 0x00}, {0xa2, 0x00, 0x00, 0x18, 0x00, 0x00}, {0xa1, 0x61, 0xff, 0x00},
		{0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0xf8, 0x20}, {0xf8, 0x18}, {0x9b, 0, 0, 0, 1, 0, 0, 0, 0}, {0xc0, 0x61, 0x61}, {0xc3, 0x41, 0x01}, {0xd8, 0x2a, 0x00},
		{0x83, 0x40, 0xa0, 0x41, 0x01}, {0x81, 0x83, 0x40, 0xa0, 0x41, 0x01}, {0x83, 0x40, 0xa0, 0xf6}, {0x81, 0xf6}, {0x84, 0x40, 0xa0, 0xf6, 0x41, 0x01}, cborOf("a/b"), cborOf(" a/b"), cborOf([]any{notary + "signingScheme", notary + "signingScheme"}),
		{0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x80}}
)

// splitMap takes an encoded CBOR map apart, keeping order and encoding.
func splitMap(b []byte) []entry {
	if len(b) == 0 || b[0]>>5 != 5 {
		return nil
	}
	var n uint64
	rest, err := cbor.UnmarshalFirst(append([]byte{b[0] & 0x1f}, b[1:]...), &n)
	if err != nil {
		return nil
	}
	var out []entry
	for range min(n, 64) {
		var k, v cbor.RawMessage
		if rest, err = cbor.UnmarshalFirst(rest, &k); err != nil {
			return out
		}
		if rest, err = cbor.UnmarshalFirst(rest, &v); err != nil {
			return out
		}
		out = append(out, entry{k, v})
	}
	return out
}

func joinMap(es []entry, indefinite bool) []byte {
	out := cborOf(uint64(len(es)))
	out[0] |= 0xa0
	if indefinite {
		out = []byte{0xbf}
	}
	for _, e := range es {
		out = append(append(out, e.key...), e.value...)
	}
	if indefinite {
		out = append(out, 0xff)
	}
	return out
}

func mutateEntries(t *tape, es []entry) []entry {
	es = slices.Clone(es)
	op := t.next() % 6
	if op == 0 || len(es) == 0 {
		return slices.Insert(es, t.next()%(len(es)+1), entry{pick(t, cborKeys), pick(t, cborValues)})
	}
	i := t.next() % len(es)
	switch op {
	case 1:
		return slices.Delete(es, i, i+1)
	case 2:
		return append(es, es[i])
	case 3:
		es[i].key = pick(t, cborKeys)
	case 4:
		es[i].value = pick(t, cborValues)
	case 5:
		j := t.next() % len(es)
		es[i], es[j] = es[j], es[i]
	}
	return es
}

// changeArray changes the array that is the value of a label.
func changeArray(t *tape, es []entry, label int, others [][]byte) []entry {
	es = slices.Clone(es)
	for i := range es {
		if !bytes.Equal(es[i].key, cborOf(label)) {
			continue
		}
		var l []cbor.RawMessage
		if cbor.Unmarshal(es[i].value, &l) != nil {
			continue
		}
		j := t.next()
		switch op := t.next() % 4; {
		case op == 0 || len(l) == 0:
			l = slices.Insert(l, j%(len(l)+1), cbor.RawMessage(pick(t, others)))
		case op == 1:
			l = slices.Delete(l, j%len(l), j%len(l)+1)
		case op == 2:
			l = append(l, l[j%len(l)])
		default:
			k := t.next() % len(l)
			l[j%len(l)], l[k] = l[k], l[j%len(l)]
		}
		es[i].value = cborOf(l)
	}
	return es
}

// coseMutant is a COSE envelope taken apart.
type coseMutant struct {
	protected, unprotected []entry
	payload, sig           []byte
	hash                   crypto.Hash
	resign, indefinite     bool
	prefix                 []byte
	rawProtected           []byte // in place of protected, if not nil
	wide                   int    // which of the parts has a longer head than it needs; 0: none
}

func openCOSE(envelope []byte) (*coseMutant, bool) {
	var parts []cbor.RawMessage
	if len(envelope) == 0 || cbor.Unmarshal(envelope[1:], &parts) != nil || len(parts) != 4 {
		return nil, false
	}
	m := &coseMutant{hash: crypto.SHA256, resign: true, prefix: envelope[:1], unprotected: splitMap(parts[1])}
	var protected []byte
	_ = cbor.Unmarshal(parts[0], &protected)
	_ = cbor.Unmarshal(parts[2], &m.payload)
	_ = cbor.Unmarshal(parts[3], &m.sig)
	m.protected = splitMap(protected)
	return m, true
}

func (m *coseMutant) seal(k signerKey) []byte {
	protected := joinMap(m.protected, m.indefinite)
	if m.rawProtected != nil {
		protected = m.rawProtected
	}
	sig := m.sig
	if m.resign {
		sig = k.sign(m.hash, cborOf([]any{"Signature1", protected, []byte{}, m.payload}))
	}
	parts := [][]byte{cborOf(protected), joinMap(m.unprotected, false), cborOf(m.payload), cborOf(sig)}
	if m.wide > 0 {
		parts[(m.wide-1)%4] = widen(parts[(m.wide-1)%4])
	}
	return append(append(slices.Clone(m.prefix), 0x84), bytes.Join(parts, nil)...)
}

// widen writes the head of a CBOR item longer than it needs to be.
func widen(item []byte) []byte {
	if len(item) == 0 || item[0]>>5 == 7 {
		return item
	}
	major := item[0] & 0xe0
	switch info := item[0] & 0x1f; {
	case info < 24:
		return append([]byte{major | 24, info}, item[1:]...)
	case info < 27:
		n := 1 << (info - 24)
		return append(append(append([]byte{major | (info + 1)}, make([]byte, n)...), item[1:1+n]...), item[1+n:]...)
	}
	return item
}

func mutateCOSE(t *tape, envelope []byte, k signerKey, certs [][]byte) []byte {
	m, ok := openCOSE(envelope)
	if !ok {
		return envelope
	}
	for n := 0; t.more() && n < 6; n++ {
		switch t.next() % 19 {
		case 12:
			for i := range m.unprotected {
				var token []byte
				if bytes.Equal(m.unprotected[i].key, cborOf(notary+"timestampSignature")) && cbor.Unmarshal(m.unprotected[i].value, &token) == nil {
					m.unprotected[i].value = cborOf(mutateBytes(t, token))
				}
			}
		case 0, 1, 2:
			m.protected = mutateEntries(t, m.protected)
		case 3:
			m.protected = changeArray(t, m.protected, 2, cborKeys)
		case 4:
			m.unprotected = mutateEntries(t, m.unprotected)
		case 5, 6:
			m.unprotected = changeArray(t, m.unprotected, 33, certs)
		case 7:
			m.payload = mutatePayload(t, m.payload)
		case 8:
			m.prefix = pick(t, [][]byte{{0xd2}, {}, {0xd8, 0x12}, {0xd8, 0x62}, {0xd2, 0xd2}, {0xd9, 0xd9, 0xf7, 0xd2}})
		case 9:
			m.indefinite = true
		case 10:
			m.hash = pick(t, []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512})
		case 11:
			m.resign = false
			if len(m.sig) > 0 && t.next()%2 == 0 {
				m.sig[t.next()%len(m.sig)] ^= byte(t.next())
			}
		case 13: // one more attribute, marked critical
			e := entry{pick(t, cborKeys), pick(t, cborValues)}
			m.protected = listed(append(m.protected, e), e.key)
		case 14: // an attribute that is there is marked critical
			if len(m.protected) > 0 {
				m.protected = listed(m.protected, pick(t, m.protected).key)
			}
		case 15:
			m.payload = []byte(mutateDeep(t, string(m.payload), 0))
		case 16:
			es := pick(t, [][]entry{m.protected, m.unprotected, nil})
			if len(es) == 0 {
				m.wide = t.next()
			} else if e := &es[t.next()%len(es)]; t.next()%2 == 0 {
				e.key = widen(e.key)
			} else {
				e.value = mutateItem(t, e.value)
			}
		case 17: // bytes that are signed
			m.rawProtected = mutateBytes(t, joinMap(m.protected, m.indefinite))
		case 18:
			m.payload = mutateBytes(t, m.payload)
		}
	}
	return m.seal(k)
}

// listed adds a label to crit.
func listed(es []entry, label []byte) []entry {
	es = slices.Clone(es)
	for i := range es {
		var l []cbor.RawMessage
		if bytes.Equal(es[i].key, cborOf(2)) && cbor.Unmarshal(es[i].value, &l) == nil && cbor.Wellformed(label) == nil {
			es[i].value = cborOf(append(l, label))
		}
	}
	return es
}

// mutateItem wraps a CBOR item, respells its head, or puts a value in its place.
func mutateItem(t *tape, item []byte) []byte {
	item = slices.Clone(item)
	switch t.next() % 8 {
	case 0:
		return widen(item)
	case 1:
		return append([]byte{0x81}, item...)
	case 2:
		return slices.Concat([]byte{0xa1}, pick(t, cborKeys), item)
	case 3:
		return slices.Concat([]byte{0xa1}, item, []byte{0x00})
	case 4:
		return append([]byte{0xc1}, item...)
	case 5:
		v := pick(t, cborValues)
		return slices.Concat([]byte{0xa2}, v, item, v, item) // a key twice
	case 6:
		return append([]byte{0xc1}, pick(t, cborValues)...)
	default:
		return append(bytes.Repeat([]byte{0x81}, t.next()%24), item...)
	}
}

// tokens are what decoders of text trip over.
var tokens = []string{",", ":", "{", "}", "[", "]", `"`, `\`, `\u`, `\u0000`, `\ud83d\ude00`, `\ude00`, `\n`, `\x`, " ", "\t", "\n", "\r", "\f", "\v", "\x00", "\x1f", "\x7f", "\ufeff", "\u2028", "\u00a0",
	"//", "/**/", "NaN", "null", "true", "0", "-", "+", ".", "e", "E5", "'", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", `"":`, `,"a":`, `{}`, `[]`, `{}{}`, "=", "==", "-_", "+/"}

// mutateBytes is what any fuzzer does.
func mutateBytes(t *tape, b []byte) []byte {
	b = slices.Clone(b)
	for n := 0; t.more() && n < 4 && len(b) > 0; n++ {
		i := (t.next()<<8 | t.next()) % len(b)
		switch t.next() % 5 {
		case 0:
			b[i] ^= byte(t.next())
		case 1:
			b = slices.Delete(b, i, i+1)
		case 2:
			b = slices.Insert(b, i, byte(t.next()))
		case 3:
			j := min(len(b), i+t.next())
			b = append(b[:i:i], b[j:]...)
		case 4:
			b = slices.Insert(b, i, []byte(pick(t, tokens))...)
		}
	}
	return b
}
