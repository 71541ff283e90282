package envelope_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/shuintest"
)

const (
	goodDigest = "sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"
	goodTarget = `"mediaType":"a/b","digest":"` + goodDigest + `","size":3`
)

func TestPayloadsRefused(t *testing.T) {
	target := func(members string) string { return `{"targetArtifact":{` + members + `}}` }
	cases := []struct {
		name, payload string
		code          shuin.Code
	}{
		{name: "PAY-01 not JSON", payload: `x`},
		{name: "PAY-01 empty", payload: ``},
		{name: "PAY-01 null", payload: `null`},
		{name: "PAY-01 an array", payload: `[]`},
		{name: "PAY-01 no targetArtifact", payload: `{}`},
		{name: "PAY-01 data after it", payload: target(goodTarget) + `{}`},
		{name: "PAY-01 two targetArtifacts", payload: `{"targetArtifact":{` + goodTarget + `},"targetArtifact":{` + goodTarget + `}}`},
		{name: "PAY-01 not UTF-8", payload: target(goodTarget + `,"x":"` + "\xff" + `"`)},
		{name: "PAY-01 huge", payload: strings.Repeat(" ", limits.PayloadBytes+1), code: shuin.CodeLimit},
		{name: "PAY-01 nested too deep", payload: target(goodTarget + `,"data":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)), code: shuin.CodeLimit},
		{name: "ATT-01 metadata beside targetArtifact", payload: `{"targetArtifact":{` + goodTarget + `},"expiry":"2030"}`},
		{name: "ATT-01 targetArtifact in another letter case", payload: `{"TargetArtifact":{` + goodTarget + `}}`},
		{name: "PAY-02 targetArtifact is a string", payload: `{"targetArtifact":"` + goodDigest + `"}`},
		{name: "PAY-02 targetArtifact is null", payload: `{"targetArtifact":null}`},
		{name: "PAY-02 no mediaType", payload: target(`"digest":"` + goodDigest + `","size":3`)},
		{name: "PAY-02 no digest", payload: target(`"mediaType":"a/b","size":3`)},
		{name: "PAY-02 no size", payload: target(`"mediaType":"a/b","digest":"` + goodDigest + `"`)},
		{name: "PAY-02 digest without algorithm", payload: target(`"mediaType":"a/b","digest":"9834","size":3`)},
		{name: "PAY-02 digest too short", payload: target(`"mediaType":"a/b","digest":"sha256:98","size":3`)},
		{name: "PAY-02 digest is null", payload: target(`"mediaType":"a/b","digest":null,"size":3`)},
		{name: "PAY-02 negative size", payload: target(`"mediaType":"a/b","digest":"` + goodDigest + `","size":-1`)},
		{name: "PAY-02 size is a string", payload: target(`"mediaType":"a/b","digest":"` + goodDigest + `","size":"3"`)},
		{name: "PAY-02 size is a fraction", payload: target(`"mediaType":"a/b","digest":"` + goodDigest + `","size":3.0`)},
		{name: "PAY-02 size beyond int64", payload: target(`"mediaType":"a/b","digest":"` + goodDigest + `","size":9223372036854775808`)},
		{name: "PAY-02 a second digest in another letter case", payload: target(goodTarget + `,"Digest":"x"`)},
		{name: "PAY-01 duplicate digest", payload: target(goodTarget + `,"digest":"` + goodDigest + `"`)},
		{name: "PAY-02 annotation is a number", payload: target(goodTarget + `,"annotations":{"a":1}`)},
		{name: "PAY-02 annotation is null", payload: target(goodTarget + `,"annotations":{"a":null}`)},
		{name: "PAY-02 annotations are an array", payload: target(goodTarget + `,"annotations":[]`)},
		{name: "PAY-01 duplicate annotation", payload: target(goodTarget + `,"annotations":{"a":"1","a":"2"}`)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := envelope.ParsePayload([]byte(c.payload))
			code := c.code
			if code == "" {
				code = shuin.CodeTampered
			}
			wantRow(t, err, row(c.name), code)
		})
	}
}

func TestPayloadsRead(t *testing.T) {
	plain := shuin.Descriptor{MediaType: "a/b", Digest: goodDigest, Size: 3}
	noted := plain
	noted.Annotations = map[string]string{"a": "1", "": "", "io.cncf.notary.x": "from elsewhere"}
	cases := []struct {
		name, payload string
		want          shuin.Descriptor
	}{
		{"PAY-02 plain", `{"targetArtifact":{` + goodTarget + `}}`, plain},
		{"PAY-02 other members of a descriptor are ignored", `{"targetArtifact":{` + goodTarget + `,"artifactType":"x/y","urls":["u"],"platform":{"os":"linux"}}}`, plain},
		{"PAY-02 with annotations", `{"targetArtifact":{` + goodTarget + `,"annotations":{"a":"1","":"","io.cncf.notary.x":"from elsewhere"}}}`, noted},
		{"PAY-02 annotations are null", `{"targetArtifact":{` + goodTarget + `,"annotations":null}}`, plain},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := envelope.ParsePayload([]byte(c.payload))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.TargetArtifact); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPayloadsWritten(t *testing.T) {
	p := envelope.Payload{TargetArtifact: shuin.Descriptor{MediaType: "a/b", Digest: goodDigest, Size: 3, Annotations: map[string]string{"b": "2", "a": "<1>"}}}
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"targetArtifact":{` + goodTarget + `,"annotations":{"a":"<1>","b":"2"}}}`; string(data) != want {
		t.Errorf("payload is\n%s, want\n%s", data, want)
	}
	back, err := envelope.ParsePayload(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back); diff != "" {
		t.Error(diff)
	}

	p.TargetArtifact.Annotations = map[string]string{"io.cncf.notary.mine": "x"}
	_, err = p.Marshal()
	wantRow(t, err, "PAY-04", shuin.CodeTampered)
	p.TargetArtifact.Annotations = map[string]string{"a": strings.Repeat("x", limits.PayloadBytes)}
	_, err = p.Marshal()
	wantRow(t, err, "PAY-01", shuin.CodeLimit)
	p.TargetArtifact.Digest = "x"
	_, err = p.Marshal()
	wantRow(t, err, "PAY-02", shuin.CodeTampered)
}

func TestAPayloadHasABoundedNumberOfAnnotations(t *testing.T) {
	payload := func(n int) []byte {
		notes := make(map[string]string, n)
		for i := range n {
			notes[fmt.Sprint(i)] = ""
		}
		return shuintest.Payload("a/b", "sha256:"+strings.Repeat("0", 64), 1, notes)
	}
	if p, err := envelope.ParsePayload(payload(limits.Annotations)); err != nil || len(p.TargetArtifact.Annotations) != limits.Annotations {
		t.Errorf("as many as there may be: %v", err)
	}
	_, err := envelope.ParsePayload(payload(limits.Annotations + 1))
	wantRow(t, err, "PAY-02", shuin.CodeLimit)
}
