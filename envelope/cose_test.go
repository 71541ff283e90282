package envelope_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

type (
	tagged = shuintest.Tagged
	raw    = shuintest.RawCBOR
)

// addSigned appends a label and its value to the protected header.
func addSigned(pair string) func(*shuintest.EnvelopeOptions) {
	return func(o *shuintest.EnvelopeOptions) {
		o.ProtectedBytes = func(b []byte) []byte { b[0]++; return append(b, pair...) }
	}
}

func TestCOSERefused(t *testing.T) {
	nested := func(n int) raw { return raw(append(bytes.Repeat([]byte{0x81}, n), 0x01)) }
	many := make([]any, limits.ChainLength+1)
	for i := range many {
		many[i] = []byte{1}
	}
	const sa = shuintest.SchemeSigningAuthority
	runRefused(t, shuin.MediaTypeCOSE, []mutation{
		{name: "ATT-06 an expiry in the year 1 is an expiry", change: func(o *shuintest.EnvelopeOptions) {
			o.Protected = func(h map[any]any) { h[shuintest.HeaderExpiry] = shuintest.Tagged{Tag: 1, Value: int64(-62135596800)} }
		}},
		{name: "COSE-01 no tag", change: outer(func(b []byte) []byte { return b[1:] })},
		{name: "COSE-01 another tag", change: outer(func(b []byte) []byte { b[0] = 0xd1; return b })},
		{name: "COSE-01 tag in a longer form", change: outer(func(b []byte) []byte { return append([]byte{0xd8, 18}, b[1:]...) })},
		{name: "COSE-01 array of five", change: outer(func(b []byte) []byte { b[1] = 0x85; return append(b, 0x01) })},
		{name: "COSE-01 data after the message", change: outer(func(b []byte) []byte { return append(b, 0x00) })},
		{name: "COSE-01 cut off", change: outer(func(b []byte) []byte { return b[:len(b)-1] })},
		{name: "COSE-01 nothing", change: outer(func([]byte) []byte { return nil })},
		{name: "COSE-01 a bomb of nested arrays", change: outer(func([]byte) []byte { return append([]byte{0xd2, 0x84}, bytes.Repeat([]byte{0x84}, 1<<20)...) })},
		{name: "COSE-01 a bomb of a claimed length", change: outer(func([]byte) []byte { return []byte{0xd2, 0x84, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff} })},
		{name: "COSE-01 indefinite length", change: outer(func(b []byte) []byte { b[1] = 0x9f; return append(b, 0xff) })},
		{name: "COSE-01 indefinite protected map", change: func(o *shuintest.EnvelopeOptions) {
			o.ProtectedBytes = func(b []byte) []byte { b[0] = 0xbf; return append(b, 0xff) }
		}},
		{name: "COSE-01 protected header with data after", change: func(o *shuintest.EnvelopeOptions) {
			o.ProtectedBytes = func(b []byte) []byte { return append(b, 0x00) }
		}},
		{name: "COSE-01 protected header not a map", change: func(o *shuintest.EnvelopeOptions) {
			o.ProtectedBytes = func(b []byte) []byte { return []byte{0x80} }
		}},
		{name: "COSE-01 duplicate label", change: addSigned("\x01\x26")},
		{name: "COSE-01 duplicate label in another length", change: addSigned("\x18\x01\x26")},
		{name: "COSE-01 duplicate unprotected label", change: func(o *shuintest.EnvelopeOptions) {
			o.Unprotected = func(h map[any]any) { h["aa"] = 1; h["bb"] = 1 }
			o.Outer = func(b []byte) []byte { return bytes.Replace(b, []byte("\x62bb"), []byte("\x62aa"), 1) }
		}},
		{name: "COSE-01 label is a byte string", change: addSigned("\x41a\x01")},
		{name: "COSE-01 label is out of range", change: addSigned("\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
		{name: "COSE-01 label is not UTF-8", change: addSigned("\x61\xff\x01")},
		{name: "COSE-01 tag in the unprotected header", change: unprotected(set("a", tagged{Tag: 1, Value: 1}))},
		{name: "COSE-01 attribute nested too deep", change: protected(set("a", nested(limits.CBORDepth+1)))},
		{name: "COSE-01 attribute with duplicate keys", change: protected(set("a", raw("\xa2\x01\x01\x01\x02")))},
		{name: "COSE-01 attribute not UTF-8", change: protected(set("a", raw("\x61\xff")))},
		{name: "COSE-01 kid is text", change: protected(set(4, "kid"))},
		{name: "COSE-01 unprotected crit", change: unprotected(set(2, []any{"a"}))},
		{name: "COSE-01 protected countersignature", change: protected(set(7, []byte{1}))},
		{name: "COSE-01 IV and partial IV", change: func(o *shuintest.EnvelopeOptions) {
			o.Protected, o.Unprotected = set(5, []byte{1}), set(6, []byte{1})
		}},
		{name: "COSE-01 protected header too large", code: shuin.CodeLimit, change: protected(set("big", strings.Repeat("a", limits.HeaderBytes)))},
		{name: "COSE-01 unknown parameter too large", code: shuin.CodeLimit, change: unprotected(set("big", strings.Repeat("a", limits.HeaderBytes+1)))},
		{name: "COSE-01 endless parameters", code: shuin.CodeLimit, change: unprotected(func(h map[any]any) {
			for i := range 2*limits.ExtendedAttributes + 1 {
				h[1000+i] = 1
			}
		})},
		{name: "COSE-02 alg is missing", change: protected(drop(1))},
		{name: "COSE-02 alg is text", change: protected(set(1, "ES256"))},
		{name: "COSE-02 alg is symmetric", change: protected(set(1, 5))},
		{name: "COSE-02 alg is PKCS#1 v1.5", change: protected(set(1, -257))},
		{name: "COSE-02 alg is the positive number", change: protected(set(1, 7))},
		{name: "COSE-02 protected header is empty", change: func(o *shuintest.EnvelopeOptions) {
			o.ProtectedBytes = func([]byte) []byte { return nil }
		}},
		{name: "COSE-03 crit is missing", change: protected(drop(2))},
		{name: "COSE-03 crit is empty", change: protected(set(2, []any{}))},
		{name: "COSE-03 crit is text", change: protected(set(2, hScheme))},
		{name: "COSE-03 crit has a byte string", change: protected(appendCrit([]byte{1}))},
		{name: "COSE-03 crit lists label 1", change: protected(appendCrit(1))},
		{name: "COSE-03 crit lists label 3", change: protected(appendCrit(3))},
		{name: "COSE-03 crit lacks the scheme", change: protected(set(2, []any{hExpiry}))},
		{name: "COSE-03 crit lacks the expiry", change: protected(set(2, []any{hScheme}))},
		{name: "COSE-03 crit lacks the authentic time", scheme: sa, change: protected(set(2, []any{hScheme, hExpiry}))},
		{name: "COSE-03 crit lists an absent attribute", change: protected(appendCrit("com.example.absent"))},
		{name: "COSE-03 crit lists NUL, and the label without a name is there", change: protected(func(h map[any]any) { h[""] = "a"; appendCrit("\x00")(h) })},
		{name: "COSE-03 crit lists an absent number", change: protected(appendCrit(99))},
		{name: "COSE-03 crit lists an absent expiry", change: func(o *shuintest.EnvelopeOptions) {
			o.Expiry = time.Time{}
			o.Protected = appendCrit(hExpiry)
		}},
		{name: "COSE-03 crit is endless", code: shuin.CodeLimit, change: protected(func(h map[any]any) {
			for range limits.ExtendedAttributes + 10 {
				appendCrit(hScheme)(h)
			}
		})},
		{name: "COSE-04 content type is missing", change: protected(drop(3))},
		{name: "COSE-04 content type is another", change: protected(set(3, "application/json"))},
		{name: "COSE-04 content type is a number", change: protected(set(3, 50))},
		{name: "COSE-05 time without a tag", change: protected(set(hTime, 1700000000))},
		{name: "COSE-05 time as text with tag 0", change: protected(set(hTime, tagged{Tag: 0, Value: authTime}))},
		{name: "COSE-05 expiry without a tag", change: protected(set(hExpiry, 1900000000))},
		{name: "COSE-05 tag 1 with text", change: protected(set(hTime, tagged{Tag: 1, Value: "x"}))},
		{name: "COSE-05 not a number", change: protected(set(hExpiry, tagged{Tag: 1, Value: math.NaN()}))},
		{name: "COSE-05 infinity", change: protected(set(hExpiry, tagged{Tag: 1, Value: math.Inf(1)}))},
		{name: "COSE-05 beyond the year 9999", change: protected(set(hExpiry, tagged{Tag: 1, Value: 253402300800}))},
		{name: "COSE-05 beyond int64", change: protected(set(hExpiry, tagged{Tag: 1, Value: raw("\x1b\xff\xff\xff\xff\xff\xff\xff\xff")}))},
		{name: "COSE-05 far before the year 1", change: protected(set(hTime, tagged{Tag: 1, Value: raw("\x3b\x7f\xff\xff\xff\xff\xff\xff\xff")}))},
		{name: "COSE-05 huge float", change: protected(set(hExpiry, tagged{Tag: 1, Value: 1e300}))},
		{name: "COSE-06 x5chain is missing", change: unprotected(drop(33))},
		{name: "COSE-06 x5chain is empty", change: unprotected(set(33, []any{}))},
		{name: "COSE-06 x5chain is a single byte string", change: unprotected(set(33, []byte{0x30}))},
		{name: "COSE-06 x5chain has text", change: unprotected(set(33, []any{"x"}))},
		{name: "COSE-06 x5chain has an empty certificate", change: unprotected(set(33, []any{[]byte{}}))},
		{name: "COSE-06 x5chain in both headers", change: protected(set(33, []any{[]byte{1}}))},
		{name: "COSE-06 huge chain", code: shuin.CodeLimit, change: unprotected(set(33, many))},
		{name: "COSE-06 huge certificate", code: shuin.CodeLimit, change: unprotected(set(33, []any{make([]byte, limits.CertificateBytes+1)}))},
		{name: "COSE-07 timestamp is text", change: unprotected(set(hStamp, "x"))},
		{name: "COSE-07 huge timestamp", code: shuin.CodeLimit, change: unprotected(set(hStamp, make([]byte, limits.TimestampBytes+1)))},
		{name: "COSE-08 signature is empty", change: func(o *shuintest.EnvelopeOptions) { o.Signature = func([]byte) []byte { return nil } }},
		{name: "COSE-08 signature is null", change: outer(func(b []byte) []byte { return append(b[:len(b)-66], 0xf6) })},
		{name: "PAY-01 payload is empty", change: func(o *shuintest.EnvelopeOptions) { o.Payload = []byte{} }},
		{name: "PAY-01 huge payload", code: shuin.CodeLimit, change: func(o *shuintest.EnvelopeOptions) { o.Payload = make([]byte, limits.PayloadBytes+1) }},
		{name: "ATT-02 the signing time is critical", change: protected(appendCrit(hTime))},
		{name: "ATT-03 scheme is missing", change: protected(func(h map[any]any) { delete(h, hScheme); h[2] = []any{hExpiry} })},
		{name: "ATT-03 scheme is a number", change: protected(set(hScheme, 1))},
		{name: "ATT-04 signing time is missing", change: protected(drop(hTime))},
		{name: "ATT-04 signing time is the zero time", change: protected(set(hTime, tagged{Tag: 1, Value: -62135596800}))},
		{name: "ATT-04 signing time under the signing authority", scheme: sa, change: protected(set(hTime, tagged{Tag: 1, Value: 1700000000}))},
		{name: "ATT-05 authentic time is missing", scheme: sa, change: protected(func(h map[any]any) { delete(h, hAuth); h[2] = []any{hScheme, hExpiry} })},
		{name: "ATT-05 authentic time under notary.x509", change: protected(set(hAuth, tagged{Tag: 1, Value: 1700000000}))},
		{name: "ATT-06 expiry is the signing time", change: protected(set(hExpiry, tagged{Tag: 1, Value: testTime.Unix()}))},
		{name: "ATT-06 expiry before the signing time", change: protected(set(hExpiry, tagged{Tag: 1, Value: 1}))},
		{name: "SCH-01 two schemes", change: addSigned(string(shuintest.CBOR(hScheme)) + "\x6bnotary.x509")},
		{name: "SCH-02 another scheme", change: protected(set(hScheme, "notary.x509.other"))},
	})
}

func TestCOSEAccepted(t *testing.T) {
	extended := func(want ...envelope.Attribute) func(*testing.T, *envelope.Envelope) {
		return func(t *testing.T, e *envelope.Envelope) {
			if diff := cmp.Diff(want, e.Extended, cmpopts.SortSlices(func(a, b envelope.Attribute) bool { _, n := a.Key.(int64); return n })); diff != "" {
				t.Error(diff)
			}
		}
	}
	cases := []struct {
		name   string
		change func(*shuintest.EnvelopeOptions)
		check  func(t *testing.T, e *envelope.Envelope)
	}{
		{"COSE-05 fractions are read", protected(set(hTime, tagged{Tag: 1, Value: float64(testTime.Unix()) + 0.5})), func(t *testing.T, e *envelope.Envelope) {
			if !e.SigningTime.Equal(testTime.Add(500 * time.Millisecond)) {
				t.Errorf("signing time is %v", e.SigningTime)
			}
		}},
		{"COSE-05 times before 1970 are read", protected(set(hTime, tagged{Tag: 1, Value: -1})), func(t *testing.T, e *envelope.Envelope) {
			if e.SigningTime.Unix() != -1 {
				t.Errorf("signing time is %v", e.SigningTime)
			}
		}},
		{"ATT-08 an unknown critical attribute is exposed", func(o *shuintest.EnvelopeOptions) {
			o.Critical = map[string]any{"com.example.x": "v"}
		}, extended(envelope.Attribute{Key: "com.example.x", Value: "v", Critical: true})},
		{"ATT-08 an attribute with an integer label is exposed", protected(func(h map[any]any) { h[99] = []any{1, "a"}; appendCrit(99)(h) }),
			extended(envelope.Attribute{Key: int64(99), Value: []any{int64(1), "a"}, Critical: true})},
		{"ATT-08 a plain attribute of any type is exposed", protected(set("m", map[any]any{"a": true})),
			extended(envelope.Attribute{Key: "m", Value: map[any]any{"a": true}})},
		{"COSE-01 the label without a name is not NUL", protected(func(h map[any]any) { h[""] = "a"; h["\x00"] = "b"; appendCrit("")(h) }),
			extended(envelope.Attribute{Key: "", Value: "a", Critical: true}, envelope.Attribute{Key: "\x00", Value: "b"})},
		{"COSE-06 x5chain in the protected header", func(o *shuintest.EnvelopeOptions) {
			var chain []any
			for _, c := range o.Chain.DER {
				chain = append(chain, c)
			}
			o.Protected, o.Unprotected = set(33, chain), drop(33)
		}, nil},
		{"COSE-07 no timestamp", unprotected(drop(hStamp)), func(t *testing.T, e *envelope.Envelope) {
			if e.TimestampToken != nil {
				t.Errorf("token is %q", e.TimestampToken)
			}
		}},
		{"ATT-12 a signing agent of any kind is no reason to fail", unprotected(set(hAgent, 42)), func(t *testing.T, e *envelope.Envelope) {
			if e.SigningAgent != "" {
				t.Errorf("signing agent is %q", e.SigningAgent)
			}
		}},
		{"COSE-01 unknown unprotected parameters are ignored", unprotected(func(h map[any]any) { h["x"] = map[any]any{1: 2}; h[4] = []byte("kid") }), nil},
		{"COSE-08 lengths in longer forms are signed in their shortest", outer(longerProtected), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := base(shuin.MediaTypeCOSE, "")
			c.change(&o)
			e := parse(t, shuin.MediaTypeCOSE, shuintest.MustEnvelope(o))
			if err := e.VerifySignature(o.Chain.Leaf().PublicKey); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(o.Chain.DER, e.Chain); diff != "" {
				t.Error(diff)
			}
			if c.check != nil {
				c.check(t, e)
			}
		})
	}
}

// longerProtected writes the protected header's length in four bytes.
func longerProtected(b []byte) []byte {
	var n int
	switch b[2] {
	case 0x58:
		n = int(b[3])
		return append([]byte{b[0], b[1], 0x5a, 0, 0, 0, byte(n)}, b[4:]...)
	case 0x59:
		return append([]byte{b[0], b[1], 0x5a, 0, 0, b[3], b[4]}, b[5:]...)
	}
	panic("protected header is short")
}
