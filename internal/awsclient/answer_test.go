package awsclient

import (
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

func TestOnlyTheAPIsOwnAnswerSaysThatNothingIsRevoked(t *testing.T) {
	const typed = "application/json"
	for _, tc := range []struct {
		name      string
		status    int
		mediaType string
		requestID bool
		body      string
		fault     string // empty: it is one
	}{
		{"an empty list", 200, typed, true, `{"revokedEntities":[]}`, ""},
		{"without a request id", 200, typed, false, `{"revokedEntities":[]}`, ""},
		{"with a charset", 200, "application/json; charset=utf-8", true, `{"revokedEntities":[]}`, ""},
		{"AWS's other name of JSON", 200, "application/x-amz-json-1.1", true, `{"revokedEntities":[]}`, ""},
		{"a member more", 200, typed, true, `{"revokedEntities":[],"nextToken":"x"}`, ""},
		{"left out, by AWS", 200, typed, true, `{}`, ""},

		{"left out, by nobody knows whom", 200, typed, false, `{}`, `has no "revokedEntities"`},
		{"nothing", 200, typed, true, ``, "not one JSON object"},
		{"a blank", 200, typed, true, ` `, "not one JSON object"},
		{"no content", 204, typed, true, ``, "HTTP 204"},
		{"accepted", 202, typed, true, `{"revokedEntities":[]}`, "HTTP 202"},
		{"null", 200, typed, true, `null`, "null"},
		{"a list", 200, typed, true, `[]`, "not one JSON object"},
		{"a text", 200, typed, true, `"ok"`, "not one JSON object"},
		{"a word", 200, typed, true, `OK`, "not one JSON object"},
		{"a message", 200, typed, true, `{"message":"service is down for maintenance"}`, `has no "revokedEntities"`},
		{"something new in its place", 200, typed, true, `{"revoked":[]}`, `has no "revokedEntities"`},
		{"another case", 200, typed, true, `{"RevokedEntities":["x"]}`, `"RevokedEntities"`},
		{"another case besides", 200, typed, true, `{"revokedEntities":[],"RevokedEntities":["x"]}`, `"RevokedEntities"`},
		{"a null list", 200, typed, true, `{"revokedEntities":null}`, "not a list of texts"},
		{"a null entry", 200, typed, true, `{"revokedEntities":[null]}`, "not a list of texts"},
		{"a number", 200, typed, true, `{"revokedEntities":[1]}`, "not a list of texts"},
		{"an object", 200, typed, true, `{"revokedEntities":{}}`, "not a list of texts"},
		{"garbage behind", 200, typed, true, `{"revokedEntities":[]}garbage`, "not one JSON object"},
		{"a second answer", 200, typed, true, `{"revokedEntities":[]}{}`, "not one JSON object"},
		{"twice", 200, typed, true, `{"revokedEntities":["a"],"revokedEntities":[]}`, "not one JSON object"},
		{"a page", 200, "text/html", true, `{"revokedEntities":[]}`, "text/html"},
		{"no type", 200, "", true, `{"revokedEntities":[]}`, "media type"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.answer = func(out http.ResponseWriter, _ *http.Request) {
				if !tc.requestID {
					out.Header().Del("x-amzn-RequestId")
				}
				out.Header()["Content-Type"] = []string{tc.mediaType}
				out.WriteHeader(tc.status)
				fmt.Fprint(out, tc.body)
			}
			got, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
			switch {
			case tc.fault == "" && (err != nil || len(got) != 0):
				t.Errorf("%v, %v", got, err)
			case tc.fault != "" && (shuin.CodeOf(err) != shuin.CodeMalformed || !strings.Contains(err.Error(), tc.fault) || shuin.HintOf(err) == ""):
				t.Errorf("%v, %s: %v", got, shuin.CodeOf(err), err)
			}
		})
	}
}

func FuzzStatusAnswer(f *testing.F) {
	for _, s := range []string{`{"revokedEntities":[]}`, `{}`, `null`, `{"revokedEntities":["x"]}{}`, `{"revokedEntities":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkStatusBody(body, false) != nil {
			return
		}
		var out map[string]stdjson.RawMessage // what the SDK will read
		var list []string
		if err := stdjson.Unmarshal(body, &out); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if err := stdjson.Unmarshal(out["revokedEntities"], &list); err != nil || list == nil {
			t.Fatalf("%q: %v", body, err)
		}
	})
}

func TestARedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := newService(t)
		s.answer = func(out http.ResponseWriter, r *http.Request) {
			out.Header().Set("Content-Type", "application/json")
			if r.Host == "elsewhere.test" {
				fmt.Fprint(out, `{"revokedEntities":[]}`)
				return
			}
			out.Header().Set("Location", "https://elsewhere.test/")
			out.WriteHeader(status)
		}
		_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
		if asked := s.requests(); shuin.CodeOf(err) != shuin.CodeMalformed || len(asked) != 1 {
			t.Errorf("%d: %v, asked %v", status, err, asked)
		}
	}
}

func TestCopiesOfASignatureMakeNoMoreRequestsThanOne(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		others int // requests of three other questions after it
	}{{403, "AccessDeniedException", 3}, {500, "InternalServiceErrorException", 3}, {400, "ValidationException", 3}, {204, "", 3}, {429, "TooManyRequestsException", 0}, {403, "ExpiredTokenException", 0}} {
		s := newService(t)
		s.says(tc.status, tc.code, ``)
		status := &Status{s.clients}
		for range 4 {
			if _, err := status.RevocationStatus(t.Context(), query(), nil); err == nil {
				t.Fatal("no error")
			}
		}
		if n := len(s.requests()); n != 1 {
			t.Errorf("%d %s: %d requests", tc.status, tc.code, n)
		}
		for _, job := range []string{"1", "2", "3"} {
			q := query()
			q.Job.ID = job
			if _, err := status.RevocationStatus(t.Context(), q, nil); err == nil {
				t.Fatal("no error")
			}
		}
		if n := len(s.requests()); n != tc.others {
			t.Errorf("%d %s: %d requests for three other questions, want %d", tc.status, tc.code, n, tc.others)
		}
		s.advance(limits.SignerDownHeld)
		if _, err := status.RevocationStatus(t.Context(), query(), nil); err == nil || len(s.requests()) != 1 {
			t.Errorf("%d %s: it is not asked again later", tc.status, tc.code)
		}
	}
}

func TestASlowSignerThatFailsTakesNoMoreThanAboutOneCallsTime(t *testing.T) {
	s := newService(t)
	s.answer = func(out http.ResponseWriter, _ *http.Request) {
		s.advance(limits.AWSAttemptTime)
		out.WriteHeader(http.StatusInternalServerError)
	}
	status := &Status{s.clients}
	for i := range 100 {
		q := query()
		q.Job.ID = fmt.Sprint(i)
		if _, err := status.RevocationStatus(t.Context(), q, nil); shuin.CodeOf(err) != shuin.CodeUnavailable {
			t.Fatal(err)
		}
	}
	if n, most := len(s.requests()), int(limits.AWSCallTime/limits.AWSAttemptTime); n != most {
		t.Errorf("%d requests, want %d", n, most)
	}
}

func TestCredentialsThatCannotBeHadAreLookedForOnce(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	file, count := t.TempDir()+"/config", t.TempDir()+"/count"
	program := t.TempDir() + "/program"
	writeFile(t, program, "echo x >>"+count+"\nexit 1\n")
	writeFile(t, file, "[default]\ncredential_process=/bin/sh "+program+"\n")
	t.Setenv("AWS_CONFIG_FILE", file)
	for _, job := range []string{"1", "2", "3"} {
		q := query()
		q.Job.ID = job
		if _, err := (&Status{s.clients}).RevocationStatus(t.Context(), q, nil); shuin.CodeOf(err) != shuin.CodeUnauthorized {
			t.Fatal(err)
		}
	}
	if got := readFile(t, count); got != "x\n" {
		t.Errorf("looked for %d times", strings.Count(got, "x"))
	}
}

func TestTheCallersOwnDeadlineIsNotHeldAgainstTheSigner(t *testing.T) {
	s := newService(t)
	release := make(chan struct{})
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
		out.Header().Set("Content-Type", "application/json")
		fmt.Fprint(out, `{"revokedEntities":[]}`)
	}
	status := &Status{s.clients}
	if _, err := status.RevocationStatus(within(t, 50*time.Millisecond), query(), nil); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Fatal(err)
	}
	close(release)
	if _, err := status.RevocationStatus(t.Context(), query(), nil); err != nil {
		t.Error(err)
	}
}

func TestSettingsOfTheEnvironmentThatCannotBeAreInvalidInput(t *testing.T) {
	for _, tc := range []struct{ name, variable, value, text string }{
		{"a profile that does not exist", "AWS_PROFILE", "nosuch", "nosuch"},
		{"an endpoint without a scheme", "AWS_ENDPOINT_URL_SIGNER", "signer.example.com", `"signer.example.com" is not of the form https://HOST`},
		{"the general endpoint too", "AWS_ENDPOINT_URL", "signer.example.com:80", "is not of the form https://HOST"},
		{"an endpoint with a password", "AWS_ENDPOINT_URL_SIGNER", "http://u:secret-that-x@127.0.0.1:1", "no user"},
		{"an endpoint with a password and more that is wrong", "AWS_ENDPOINT_URL_SIGNER", "http://u:secret-that-x@127.0.0.1:1%zz", "no user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			t.Setenv(tc.variable, tc.value)
			_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.text) || shuin.HintOf(err) == "" || len(s.requests()) != 0 {
				t.Errorf("%s %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			noSecret(t, err)
		})
	}
}

func TestErrorsOfConnectionsDoNotShowTheQuestion(t *testing.T) {
	s := newService(t, "nothing.test")
	_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
	if text := err.Error(); strings.Contains(text, "certificateHashes") || !strings.Contains(text, "data-signer.eu-west-1.amazonaws.com: ") || len(text) > 200 {
		t.Error(text)
	}
}
