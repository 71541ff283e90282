package envelope_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

const (
	hScheme  = shuintest.HeaderScheme
	hTime    = shuintest.HeaderSigningTime
	hAuth    = shuintest.HeaderAuthenticTime
	hExpiry  = shuintest.HeaderExpiry
	hStamp   = shuintest.HeaderTimestamp
	hAgent   = shuintest.HeaderAgent
	authTime = "2026-03-01T12:00:00Z"
)

type mutation struct {
	name   string // starts with the row
	scheme string // x509 when empty
	code   shuin.Code
	change func(*shuintest.EnvelopeOptions)
}

func row(name string) string { return strings.Fields(name)[0] }

func protected(change func(h map[any]any)) func(*shuintest.EnvelopeOptions) {
	return func(o *shuintest.EnvelopeOptions) { o.Protected = change }
}

func unprotected(change func(h map[any]any)) func(*shuintest.EnvelopeOptions) {
	return func(o *shuintest.EnvelopeOptions) { o.Unprotected = change }
}

func set(key, value any) func(map[any]any) { return func(h map[any]any) { h[key] = value } }
func drop(key any) func(map[any]any)       { return func(h map[any]any) { delete(h, key) } }
func replace(old, new string) func(*shuintest.EnvelopeOptions) {
	return func(o *shuintest.EnvelopeOptions) {
		o.ProtectedBytes = func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
	}
}

// edit changes members of the finished JWS.
func edit(change func(m map[string]any)) func(*shuintest.EnvelopeOptions) {
	return func(o *shuintest.EnvelopeOptions) {
		o.Outer = func(b []byte) []byte {
			b, err := shuintest.EditJWS(b, change)
			if err != nil {
				panic(err)
			}
			return b
		}
	}
}

func outer(change func([]byte) []byte) func(*shuintest.EnvelopeOptions) {
	return func(o *shuintest.EnvelopeOptions) { o.Outer = change }
}

func outerReplace(old, new string) func(*shuintest.EnvelopeOptions) {
	return outer(func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) })
}

func base(mediaType, scheme string) shuintest.EnvelopeOptions {
	return shuintest.EnvelopeOptions{
		MediaType: mediaType, Chain: shuintest.MustChain(shuintest.ChainOptions{}), Payload: testPayload,
		Scheme: scheme, Time: testTime, Expiry: testTime.Add(time.Hour), Token: []byte("token"), Agent: "test/1",
	}
}

func appendCrit(names ...any) func(map[any]any) {
	return func(h map[any]any) {
		key := any("crit")
		if _, cose := h[2]; cose {
			key = 2
		}
		h[key] = append(append([]any{}, h[key].([]any)...), names...)
	}
}

func runRefused(t *testing.T, mediaType string, cases []mutation) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := base(mediaType, c.scheme)
			if c.scheme == shuintest.SchemeSigningAuthority {
				o.Token = nil
			}
			if _, err := envelope.Parse(mediaType, shuintest.MustEnvelope(o)); err != nil {
				t.Fatalf("unchanged: %v", err)
			}
			c.change(&o)
			_, err := envelope.Parse(mediaType, shuintest.MustEnvelope(o))
			code := c.code
			if code == "" {
				code = shuin.CodeTampered
			}
			wantRow(t, err, row(c.name), code)
		})
	}
}

func TestJWSRefused(t *testing.T) {
	deep := strings.Repeat("[", limits.JSONDepth+1) + strings.Repeat("]", limits.JSONDepth+1)
	many := make([]any, limits.ChainLength+1)
	for i := range many {
		many[i] = "AAAA"
	}
	const sa = shuintest.SchemeSigningAuthority
	runRefused(t, shuin.MediaTypeJWS, []mutation{
		{name: "ATT-06 an expiry in the year 1 is an expiry", change: func(o *shuintest.EnvelopeOptions) {
			o.Protected = func(h map[any]any) { h[shuintest.HeaderExpiry] = "0001-01-01T00:00:00Z" }
		}},
		{name: "JWS-01 a further top-level member", change: edit(func(m map[string]any) { m["comment"] = "x" })},
		{name: "JWS-01 general serialization", change: edit(func(m map[string]any) { m["signatures"] = []any{} })},
		{name: "JWS-01 member in another letter case", change: outerReplace(`"payload"`, `"Payload"`)},
		{name: "JWS-01 duplicate top-level member", change: outerReplace(`{`, `{"payload":"",`)},
		{name: "JWS-01 data after the object", change: outer(func(b []byte) []byte { return append(b, '{', '}') })},
		{name: "JWS-01 not an object", change: outer(func([]byte) []byte { return []byte(`[]`) })},
		{name: "JWS-01 nothing", change: outer(func([]byte) []byte { return nil })},
		{name: "JWS-01 null", change: outer(func([]byte) []byte { return []byte(`null`) })},
		{name: "JWS-01 cut off", change: outer(func(b []byte) []byte { return b[:len(b)-1] })},
		{name: "JWS-01 compact serialization", change: outer(func([]byte) []byte { return []byte(`eyJ.eyJ.AAA`) })},
		{name: "JWS-01 payload not a string", change: edit(func(m map[string]any) { m["payload"] = 1 })},
		{name: "JWS-01 header not an object", change: edit(func(m map[string]any) { m["header"] = "x" })},
		{name: "JWS-01 header member in another letter case", change: unprotected(set("X5C", []any{}))},
		{name: "JWS-01 unknown header member nested too deep", code: shuin.CodeLimit, change: unprotected(set("deep", json.RawMessage(deep)))},
		{name: "JWS-01 unknown header member too large", code: shuin.CodeLimit, change: unprotected(set("big", strings.Repeat("a", limits.HeaderBytes)))},
		{name: "JWS-01 duplicate protected member", change: replace(`{`, `{"alg":"ES256",`)},
		{name: "JWS-01 protected member in another letter case", change: protected(set("ALG", "ES256"))},
		{name: "JWS-01 protected header not an object", change: replace(`{`, `[{`)},
		{name: "JWS-01 protected header not UTF-8", change: replace(`ES256`, "ES256\xff")},
		{name: "JWS-01 protected header too large", code: shuin.CodeLimit, change: protected(set("big", strings.Repeat("a", limits.HeaderBytes)))},
		{name: "JWS-01 protected header nested too deep", code: shuin.CodeLimit, change: protected(set("deep", json.RawMessage(deep)))},
		{name: "JWS-02 alg is missing", change: protected(drop("alg"))},
		{name: "JWS-02 alg is a number", change: protected(set("alg", 256))},
		{name: "JWS-03 alg is none", change: protected(set("alg", "none"))},
		{name: "JWS-03 alg is symmetric", change: protected(set("alg", "HS256"))},
		{name: "JWS-03 alg is PKCS#1 v1.5", change: protected(set("alg", "RS256"))},
		{name: "JWS-03 alg in another letter case", change: protected(set("alg", "es256"))},
		{name: "JWS-03 alg is empty", change: protected(set("alg", ""))},
		{name: "JWS-04 cty is missing", change: protected(drop("cty"))},
		{name: "JWS-04 cty is another", change: protected(set("cty", "application/json"))},
		{name: "JWS-04 cty is null", change: protected(set("cty", nil))},
		{name: "JWS-05 crit is missing", change: protected(drop("crit"))},
		{name: "JWS-05 crit is null", change: protected(set("crit", nil))},
		{name: "JWS-05 crit is empty", change: protected(set("crit", []any{}))},
		{name: "JWS-05 crit is a string", change: protected(set("crit", hScheme))},
		{name: "JWS-05 crit has a number", change: protected(appendCrit(1))},
		{name: "JWS-05 crit lacks the scheme", change: protected(set("crit", []any{hExpiry}))},
		{name: "JWS-05 crit lacks the expiry", change: protected(set("crit", []any{hScheme}))},
		{name: "JWS-05 crit lacks the authentic time", scheme: sa, change: protected(set("crit", []any{hScheme, hExpiry}))},
		{name: "JWS-05 crit names an absent attribute", change: protected(appendCrit("com.example.absent"))},
		{name: "JWS-05 crit names a registered header", change: protected(appendCrit("alg"))},
		{name: "JWS-05 crit names a registered header that is there", change: protected(func(h map[any]any) { h["kid"] = "1"; appendCrit("kid")(h) })},
		{name: "JWS-05 crit names the scheme twice", change: protected(appendCrit(hScheme))},
		{name: "JWS-05 crit names an absent expiry", change: func(o *shuintest.EnvelopeOptions) {
			o.Expiry = time.Time{}
			o.Protected = appendCrit(hExpiry)
		}},
		{name: "JWS-05 crit is endless", code: shuin.CodeLimit, change: protected(func(h map[any]any) {
			h["x"] = 1
			for range limits.ExtendedAttributes + 10 {
				appendCrit("x")(h)
			}
		})},
		{name: "JWS-06 time is a number", change: protected(set(hTime, 1700000000))},
		{name: "JWS-06 time has no offset", change: protected(set(hTime, "2026-03-01T12:00:00"))},
		{name: "JWS-06 time with a space", change: protected(set(hTime, "2026-03-01 12:00:00Z"))},
		{name: "JWS-06 hour of 24", change: protected(set(hTime, "2026-03-01T24:00:00Z"))},
		{name: "JWS-06 before the year 1", change: protected(set(hTime, "0000-01-01T00:00:00Z"))},
		{name: "JWS-06 escaped time", change: replace(authTime, `2026-03-01T12:00:00\u005a`)},
		{name: "JWS-07 x5c is missing", change: unprotected(drop("x5c"))},
		{name: "JWS-07 x5c is empty", change: unprotected(set("x5c", []any{}))},
		{name: "JWS-07 x5c is a string", change: unprotected(set("x5c", "AAAA"))},
		{name: "JWS-07 x5c has a number", change: unprotected(set("x5c", []any{1}))},
		{name: "JWS-07 x5c has null", change: unprotected(set("x5c", []any{nil}))},
		{name: "JWS-07 x5c has an empty certificate", change: unprotected(set("x5c", []any{""}))},
		{name: "JWS-07 x5c in base64url", change: unprotected(set("x5c", []any{"_-__"}))},
		{name: "JWS-07 x5c without padding", change: unprotected(set("x5c", []any{"AAA"}))},
		{name: "JWS-07 huge chain", code: shuin.CodeLimit, change: unprotected(set("x5c", many))},
		{name: "JWS-07 huge certificate", code: shuin.CodeLimit, change: unprotected(set("x5c", []any{base64.StdEncoding.EncodeToString(make([]byte, limits.CertificateBytes+1))}))},
		{name: "JWS-08 timestamp is not base64", change: unprotected(set(hStamp, "%%%"))},
		{name: "JWS-08 timestamp is a number", change: unprotected(set(hStamp, 1))},
		{name: "JWS-08 huge timestamp", code: shuin.CodeLimit, change: unprotected(set(hStamp, base64.StdEncoding.EncodeToString(make([]byte, limits.TimestampBytes+1))))},
		{name: "JWS-09 signature is missing", change: edit(func(m map[string]any) { delete(m, "signature") })},
		{name: "JWS-09 signature is empty", change: edit(func(m map[string]any) { m["signature"] = "" })},
		{name: "JWS-09 signature with padding", change: edit(func(m map[string]any) { m["signature"] = "AA==" })},
		{name: "JWS-09 signature in standard base64", change: edit(func(m map[string]any) { m["signature"] = "++//" })},
		{name: "JWS-09 payload with padding", change: edit(func(m map[string]any) { m["payload"] = m["payload"].(string) + "=" })},
		{name: "JWS-09 protected is not base64url", change: edit(func(m map[string]any) { m["protected"] = "a.b" })},
		{name: "PAY-01 payload is missing", change: edit(func(m map[string]any) { delete(m, "payload") })},
		{name: "PAY-01 payload is empty", change: edit(func(m map[string]any) { m["payload"] = "" })},
		{name: "PAY-01 huge payload", code: shuin.CodeLimit, change: func(o *shuintest.EnvelopeOptions) { o.Payload = make([]byte, limits.PayloadBytes+1) }},
		{name: "ATT-02 the signing time is critical", change: protected(appendCrit(hTime))},
		{name: "ATT-03 scheme is missing", change: protected(func(h map[any]any) { delete(h, hScheme); h["crit"] = []any{hExpiry} })},
		{name: "ATT-03 scheme is null", change: protected(set(hScheme, nil))},
		{name: "ATT-04 signing time is missing", change: protected(drop(hTime))},
		{name: "ATT-04 signing time is null", change: protected(set(hTime, nil))},
		{name: "ATT-04 signing time is the zero time", change: protected(set(hTime, "0001-01-01T00:00:00Z"))},
		{name: "ATT-04 signing time under the signing authority", scheme: sa, change: protected(set(hTime, authTime))},
		{name: "ATT-05 authentic time is missing", scheme: sa, change: protected(func(h map[any]any) { delete(h, hAuth); h["crit"] = []any{hScheme, hExpiry} })},
		{name: "ATT-05 authentic time under notary.x509", change: protected(set(hAuth, authTime))},
		{name: "ATT-06 expiry is the signing time", change: protected(set(hExpiry, authTime))},
		{name: "ATT-06 expiry before the signing time", change: protected(set(hExpiry, "2020-01-01T00:00:00Z"))},
		{name: "SCH-01 two schemes", change: replace(`{`, `{"`+hScheme+`":"notary.x509",`)},
		{name: "SCH-02 another scheme", change: protected(set(hScheme, "notary.x509.other"))},
		{name: "SCH-02 scheme in another letter case", change: protected(set(hScheme, "Notary.X509"))},
	})
}

func TestJWSAccepted(t *testing.T) {
	cases := []struct {
		name   string
		change func(*shuintest.EnvelopeOptions)
		check  func(t *testing.T, e *envelope.Envelope)
	}{
		{"JWS-06 fractions and offsets are read", protected(set(hTime, "2026-03-01T21:00:00.25+09:00")), func(t *testing.T, e *envelope.Envelope) {
			if !e.SigningTime.Equal(testTime.Add(250 * time.Millisecond)) {
				t.Errorf("signing time is %v", e.SigningTime)
			}
		}},
		{"ATT-08 an unknown critical attribute is exposed", func(o *shuintest.EnvelopeOptions) { o.Critical = map[string]any{"com.example.x": "v"} }, func(t *testing.T, e *envelope.Envelope) {
			if len(e.Extended) != 1 || e.Extended[0] != (envelope.Attribute{Key: "com.example.x", Value: "v", Critical: true}) {
				t.Errorf("extended attributes are %v", e.Extended)
			}
		}},
		{"ATT-08 an unknown plain attribute is exposed", func(o *shuintest.EnvelopeOptions) {
			o.Plain = map[string]any{"com.example.y": map[string]any{"a": 1.5}}
		}, func(t *testing.T, e *envelope.Envelope) {
			if len(e.Extended) != 1 || e.Extended[0].Critical {
				t.Errorf("extended attributes are %v", e.Extended)
			}
		}},
		{"ATT-12 a signing agent of any kind is no reason to fail", unprotected(set(hAgent, 42)), func(t *testing.T, e *envelope.Envelope) {
			if e.SigningAgent != "" {
				t.Errorf("signing agent is %q", e.SigningAgent)
			}
		}},
		{"ATT-06 no expiry", func(o *shuintest.EnvelopeOptions) { o.Expiry = time.Time{} }, func(t *testing.T, e *envelope.Envelope) {
			if !e.Expiry.IsZero() {
				t.Errorf("expiry is %v", e.Expiry)
			}
		}},
		{"JWS-08 no timestamp", unprotected(drop(hStamp)), func(t *testing.T, e *envelope.Envelope) {
			if e.TimestampToken != nil {
				t.Errorf("token is %q", e.TimestampToken)
			}
		}},
		{"JWS-08 the name in the example is not the timestamp's", unprotected(func(h map[any]any) { delete(h, hStamp); h["io.cncf.notary.timestamp"] = "AAAA" }), func(t *testing.T, e *envelope.Envelope) {
			if e.TimestampToken != nil {
				t.Errorf("token is %q", e.TimestampToken)
			}
		}},
		{"JWS-01 escaped slashes in base64 are read", outer(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)) }), nil},
		{"JWS-01 white space is no matter", outer(func(b []byte) []byte { return append([]byte(" \n\t"), append(b, '\n')...) }), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := base(shuin.MediaTypeJWS, "")
			c.change(&o)
			e := parse(t, shuin.MediaTypeJWS, shuintest.MustEnvelope(o))
			if err := e.VerifySignature(o.Chain.Leaf().PublicKey); err != nil {
				t.Error(err)
			}
			if c.check != nil {
				c.check(t, e)
			}
		})
	}
}
