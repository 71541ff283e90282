package signing

import (
	"strings"
	"testing"

	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

const hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestOnlyATargetArtifactIsSigned(t *testing.T) {
	artifact := func(more string) string {
		return `{"targetArtifact":{"mediaType":"a/b","digest":"` + hash + `","size":1` + more + `}}`
	}
	many := `,"annotations":{`
	for i := range limits.SignAnnotations + 1 {
		many += `"` + strings.Repeat("a", i+1) + `":"",`
	}
	many = strings.TrimSuffix(many, ",") + "}"
	for _, c := range []struct{ name, payload, refused string }{
		{"a plain one", artifact(""), ""},
		{"with annotations", artifact(`,"annotations":{"stage":"build"}`), ""},
		{"with white space", " \n" + strings.ReplaceAll(artifact(""), ":", " :\t") + "\r\n", ""}, // and so another digest
		{"with an escape", strings.Replace(artifact(""), "a/b", `a\u002fb`, 1), ""},
		{"nothing", "", "between 1 and 4096"},
		{"too long", artifact(`,"annotations":{"a":"` + strings.Repeat("x", 4096) + `"}`), "between 1 and 4096"},
		{"no JSON", "hello", "malformed JSON"},
		{"an array", "[]", "want a JSON object"},
		{"an empty object", "{}", "targetArtifact is missing"},
		{"null", `{"targetArtifact":null}`, "want a JSON object"},
		{"cut off", artifact("")[:40], "malformed JSON"},
		{"something behind it", artifact("") + "{}", "follows"},
		{"another member first", `{"x":1,"targetArtifact":{}}`, `"x" is not allowed`},
		{"another member last", strings.TrimSuffix(artifact(""), "}") + `,"x":1}`, `"x" is not allowed`},
		{"another letter case", strings.Replace(artifact(""), "target", "Target", 1), `"TargetArtifact" is not allowed`},
		{"two artifacts", `{"targetArtifact":{"mediaType":"a/b","digest":"` + hash + `","size":1},"targetArtifact":{}}`, "occurs twice"},
		{"two sizes", artifact(`,"size":2`), "occurs twice"},
		{"two sizes, one escaped", artifact(`,"si\u007ae":2`), "occurs twice"},
		{"two annotations", artifact(`,"annotations":{"a":"1","a":"2"}`), "occurs twice"},
		{"a further member of the descriptor", artifact(`,"platform":{"os":"linux"}`), `member "platform"`},
		{"urls", artifact(`,"urls":["http://x"]`), `member "urls"`},
		{"no media type", `{"targetArtifact":{"digest":"` + hash + `","size":1}}`, "no mediaType"},
		{"no digest", `{"targetArtifact":{"mediaType":"a/b","size":1}}`, "digest"},
		{"no size", `{"targetArtifact":{"mediaType":"a/b","digest":"` + hash + `"}}`, "no size"},
		{"a media type that is a number", strings.Replace(artifact(""), `"a/b"`, "1", 1), "want a JSON string"},
		{"a digest that is none", strings.Replace(artifact(""), hash, "sha256:abc", 1), "digest"},
		{"a digest in capitals", strings.Replace(artifact(""), "e3b0", "E3B0", 1), "digest"},
		{"an algorithm nobody knows", strings.Replace(artifact(""), "sha256:", "md5:", 1), "digest"},
		{"a negative size", strings.Replace(artifact(""), ":1}", ":-1}", 1), "is no size"},
		{"minus nothing", strings.Replace(artifact(""), ":1}", ":-0}", 1), "is no size"},
		{"a fraction", strings.Replace(artifact(""), ":1}", ":1.0}", 1), "is no size"},
		{"an exponent", strings.Replace(artifact(""), ":1}", ":1e3}", 1), "is no size"},
		{"a size beyond 64 bits", strings.Replace(artifact(""), ":1}", ":18446744073709551616}", 1), "is no size"},
		{"a size in quotes", strings.Replace(artifact(""), ":1}", `:"1"}`, 1), "want a JSON number"},
		{"annotations that are null", artifact(`,"annotations":null`), "want a JSON object"},
		{"an annotation that is no text", artifact(`,"annotations":{"a":1}`), "want a JSON string"},
		{"a reserved annotation", artifact(`,"annotations":{"io.cncf.notary.x":"1"}`), "reserved"},
		{"too many annotations", artifact(many), "more than 64 annotations"},
		{"bytes that are not UTF-8", strings.Replace(artifact(""), "a/b", "a/\xff", 1), "malformed JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := c.payload
			if c.name == "with white space" {
				payload = strings.ReplaceAll(payload, "sha256 :\t", "sha256:")
			}
			err := checkPayload([]byte(payload))
			if c.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || err.Fault != FaultValidation || !strings.Contains(err.Message, c.refused) {
				t.Errorf("got %v, want a refusal with %q", err, c.refused)
			}
		})
	}
}

// FuzzPayload: what is signed is a payload to every reader of ours, and reads
// the same when it is written anew.
func FuzzPayload(f *testing.F) {
	f.Add([]byte(`{"targetArtifact":{"mediaType":"a/b","digest":"` + hash + `","size":1,"annotations":{"a":"b"}}}`))
	f.Add([]byte(`{"targetArtifact":{"mediaType":"a\/b","digest":"` + hash + `","size":1e1}}`))
	f.Add([]byte(`{"targetArtifact":{},"targetArtifact":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e := checkPayload(data); e != nil {
			if e.Fault != FaultValidation || e.Message == "" {
				t.Fatalf("%+v", e)
			}
			return
		}
		p, err := envelope.ParsePayload(data)
		if err != nil {
			t.Fatalf("let through, and unreadable: %v", err)
		}
		again, err := p.Marshal()
		if err != nil {
			t.Fatalf("let through, and cannot be written: %v", err)
		}
		if len(again) <= limits.SignPayload {
			if e := checkPayload(again); e != nil {
				t.Fatalf("%s was let through, written anew it is not: %v", data, e)
			}
		}
	})
}

func FuzzPageToken(f *testing.F) {
	var k tokens
	query := []string{"jobs", "111122223333", ""}
	f.Add(k.make(query, "0193-abc"))
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		cursor, err := k.read(query, token)
		if err != nil {
			return
		}
		if token != "" && k.make(query, cursor) != token {
			t.Fatalf("token %q was taken, and is not one that was given", token)
		}
	})
}
