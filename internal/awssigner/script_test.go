package awssigner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
)

var update = flag.Bool("update", false, "write what the scripts in testdata answer now")

// The scripts in testdata/*.http are requests to the real service on the real
// store, and what it answers. Sections are parted by lines of =====; in each
// stands a request, then -----, then the answer. Lines before the request:
//
//	# a comment
//	@as NAME         sign with that access key (admin, ci, other); stays
//	@host PREFIX     put the prefix before the host, for this request
//	@invocation ID   the SDK's invocation id, for this request
//	@clock DURATION  let the time pass first
//	@keep NAME MEMBER  keep a member of the answer; ${NAME} from then on
//	@envelope        the signature in the answer must parse and hold the payload;
//	                 ${LEAF} is its leaf's certificate id from then on
//
// What is random is kept, or shown as ${...}; -update rewrites the answers.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) { runScript(t, file) })
	}
}

const between, answers = "=====\n", "-----\n"

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, world: newWorld(t, testNow), as: "admin", values: map[string]string{
		"PAYLOAD": base64.StdEncoding.EncodeToString([]byte(scriptPayload)),
		"BIG":     base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(" "), payloadMost+1)),
		"EXTRA":   base64.StdEncoding.EncodeToString([]byte(strings.Replace(scriptPayload, "{", `{"more":1,`, 1))),
		"FORMAT":  shuin.MediaTypePayload,
		"HASH":    strings.Repeat("0a", 96),
	}}
	s.handler = s.world.server.Handler()
	var out strings.Builder
	for i, section := range strings.Split(string(text), between) {
		if i > 0 {
			out.WriteString(between)
		}
		ask, want, _ := strings.Cut(section, answers)
		got := s.run(ask)
		out.WriteString(ask + answers + got)
		if got != want && !*update {
			t.Errorf("section %d:\n%s\ngot:\n%s\nwant:\n%s", i+1, ask, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, key := range s.world.keys {
		if strings.Contains(s.world.log.String(), key.secret) {
			t.Errorf("the secret of %s is in the log", name)
		}
	}
}

var scriptPayload = `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":528}}`

type script struct {
	t       *testing.T
	world   *world
	handler http.Handler
	as      string
	values  map[string]string
	calls   int
}

// run makes one request and writes down its answer.
func (s *script) run(ask string) string {
	var keep [][]string
	var prefix, invocation string
	checkEnvelope := false
	lines := strings.Split(strings.TrimSuffix(ask, "\n"), "\n")
	for len(lines) > 0 && (strings.HasPrefix(lines[0], "#") || strings.HasPrefix(lines[0], "@") || lines[0] == "") {
		f := strings.Fields(lines[0])
		lines = lines[1:]
		switch {
		case len(f) == 0 || f[0] == "#":
		case f[0] == "@as":
			s.as = f[1]
		case f[0] == "@host":
			prefix = f[1]
		case f[0] == "@invocation":
			invocation = f[1]
		case f[0] == "@envelope":
			checkEnvelope = true
		case f[0] == "@clock":
			d, err := time.ParseDuration(f[1])
			if err != nil {
				s.t.Fatal(err)
			}
			s.world.pass(d)
		case f[0] == "@keep":
			keep = append(keep, f[1:])
		default:
			s.t.Fatalf("unknown line %q", f)
		}
	}
	w := s.call(prefix, invocation, s.expand(lines[0]), s.expand(strings.Join(lines[1:], "\n")))
	answer := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			s.t.Fatalf("%v: %s", err, w.Body)
		}
	}
	for _, k := range keep {
		value, ok := answer[k[1]].(string)
		if !ok {
			s.t.Fatalf("no member %s in %s", k[1], w.Body)
		}
		s.values[k[0]] = value
	}
	if signature, ok := answer["signature"].(string); ok {
		if checkEnvelope {
			s.checkEnvelope(signature)
		}
		answer["signature"] = "${SIGNATURE}"
	}
	return s.show(w, answer)
}

func (s *script) expand(text string) string {
	return os.Expand(text, func(name string) string {
		v, ok := s.values[name]
		if !ok {
			s.t.Fatalf("no value ${%s}", name)
		}
		return v
	})
}

func (s *script) call(prefix, invocation, line, body string) *httptest.ResponseRecorder {
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, "http://"+prefix+testHost+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	s.calls++
	if invocation == "" {
		invocation = fmt.Sprintf("call-%d", s.calls)
	}
	r.Header.Set("Amz-Sdk-Invocation-Id", invocation)
	r.Header.Set("Amz-Sdk-Request", fmt.Sprintf("attempt=%d; max=3", s.calls)) // so that no two signatures are the same
	sum := sha256.Sum256([]byte(body))
	key := s.world.keys[s.as]
	err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: key.id, SecretAccessKey: key.secret}, r, hex.EncodeToString(sum[:]), serviceName, testRegion, s.world.clock())
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// show is status, error type and body, with what was kept by its name.
func (s *script) show(w *httptest.ResponseRecorder, answer map[string]any) string {
	var out strings.Builder
	fmt.Fprint(&out, w.Code)
	if e := w.Header().Get("x-amzn-ErrorType"); e != "" {
		out.WriteString(" " + e)
	}
	out.WriteByte('\n')
	if len(answer) > 0 || w.Body.Len() > 0 {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(answer); err != nil {
			s.t.Fatal(err)
		}
		out.Write(b.Bytes())
	}
	text := out.String()
	names := make([]string, 0, len(s.values))
	for name := range s.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if v := s.values[name]; len(v) > 9 && len(v) < 1000 {
			text = strings.ReplaceAll(text, v, "${"+name+"}")
		}
	}
	return text
}

// checkEnvelope: the answer's signature is a JWS over the payload as it was sent.
func (s *script) checkEnvelope(encoded string) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := envelope.Parse(shuin.MediaTypeJWS, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	if string(e.Payload) != scriptPayload {
		s.t.Errorf("signed %s", e.Payload)
	}
	s.values["LEAF"] = certificateIDs(s.t, raw)[0]
}

// certificateIDs are what a verifier asks about for a signature.
func certificateIDs(t *testing.T, signature []byte) []string {
	t.Helper()
	e, err := envelope.Parse(shuin.MediaTypeJWS, signature)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := envelope.ParseChain(e.Chain)
	if err != nil {
		t.Fatal(err)
	}
	return awsprofile.CertificateIDs(chain)
}

func TestAStoreThatIsAwayGivesNoSignature(t *testing.T) {
	s := &script{t: t, world: newWorld(t, testNow), as: "admin"}
	s.handler = s.world.server.Handler()
	body := `{"profileName":"build","payload":"` + base64.StdEncoding.EncodeToString([]byte(scriptPayload)) + `","payloadFormat":"` + shuin.MediaTypePayload + `"}`
	if w := s.call("", "", "PUT /signing-profiles/build", `{"platformId":"Notation-OCI-SHA384-ECDSA"}`); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if w := s.call("", "", "POST "+signAt, body); w.Code != 200 {
		t.Fatal(w.Body)
	}
	if err := s.world.store.Close(); err != nil {
		t.Fatal(err)
	}
	w := s.call("", "", "POST "+signAt, body)
	wantRefusal(t, w, 503, codeInternal, "store")
	if log := s.world.log.String(); !strings.Contains(log, `"level":"ERROR"`) || !strings.Contains(log, `"err":`) {
		t.Errorf("log: %s", log)
	}
}

func TestAClockThatWasSetBackGivesNoSignature(t *testing.T) {
	s := &script{t: t, world: newWorld(t, testNow), as: "admin"}
	s.handler = s.world.server.Handler()
	body := `{"profileName":"build","payload":"` + base64.StdEncoding.EncodeToString([]byte(scriptPayload)) + `","payloadFormat":"` + shuin.MediaTypePayload + `"}`
	s.call("", "", "PUT /signing-profiles/build", `{"platformId":"Notation-OCI-SHA384-ECDSA"}`)
	s.world.pass(time.Hour)
	if w := s.call("", "", "POST "+signAt, body); w.Code != 200 {
		t.Fatal(w.Body)
	}
	s.world.pass(-time.Minute)
	wantRefusal(t, s.call("", "", "POST "+signAt, body), 503, codeInternal, "clock was set back by 1m0s")
}
