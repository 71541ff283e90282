package awscall

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/shuin/shuin/internal/limits"
)

func TestWhatIsPassedOnDoesNotShowTheQueriesOfAddresses(t *testing.T) {
	for in, want := range map[string]string{
		`Get "https://h/p?a=b&c": refused`: `Get "https://h/p": refused`,
		`two? http://a?x http://b/y?z`:     `two? http://a http://b/y`,
		`none`:                             `none`,
		`what? Post "https://sts.test/": EOF, (https://h?q) end`: `what? Post "https://sts.test/": EOF, (https://h end`,
	} {
		if got := withoutQueries(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(400, "", []byte(`{"__type":"a.b#AccessDeniedException","message":"no"}`), uint8(JSON11))
	f.Add(404, "NotFound:http://x", []byte(`{"Message":"no"}`), uint8(REST))
	f.Add(503, "", []byte(`<Error><Code>SlowDown</Code></Error>`), uint8(REST))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte, protocol uint8) {
		q := Call{Title: "AWS", Target: "A.B", Protocol: Protocol(protocol)}
		err := q.refusal(&http.Response{StatusCode: status, Header: http.Header{"X-Amzn-Errortype": {kind}}}, body, aws.Credentials{})
		e, ok := errors.AsType[*ServiceError](err)
		if !ok || e.Code == "" || e.Means() == "" || strings.ContainsAny(err.Error(), "\n\x1b") || len([]rune(err.Error())) > limits.AWSErrorRunes+500 {
			t.Errorf("%v", err)
		}
	})
}

func FuzzXMLError(f *testing.F) {
	f.Add([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code><Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>`))
	f.Add([]byte(`<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>gone</Message><RequestId>r</RequestId></Error>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		code, message, id := xmlError(data)
		if len(code)+len(message)+len(id) > 4*len(data)+64 || strings.Contains(Printable(code, 200), "\n") {
			t.Errorf("%q %q %q", code, message, id)
		}
	})
}

func TestNoErrorShowsTheCredentialsThatSignedTheRequest(t *testing.T) {
	const token, secret = "IQoJb3JpZ2luX2VjE/SESSION+TOKEN==", "secret-that-is-never-shown"
	for name, c := range map[string]struct {
		call   Call
		answer func(token string) string
	}{
		"JSON": {putItem, func(token string) string {
			return `{"__type":"InvalidSignatureException","message":"The Canonical String for this request should have been\n'POST\nx-amz-security-token:` + token + `\nx-amz-target:y' ` + secret + `"}`
		}},
		"JSON with its slashes escaped": {putItem, func(token string) string {
			return `{"__type":"InvalidSignatureException","message":"x-amz-security-token:` + strings.ReplaceAll(token, "/", `\/`) + `"}`
		}},
		"XML": {publish, func(token string) string {
			return `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>x-amz-security-token:` + token + `</Message></Error></ErrorResponse>`
		}},
		"at the cut": {putItem, func(token string) string {
			return `{"__type":"InvalidSignatureException","message":"` + strings.Repeat("x", limits.AWSErrorRunes-8) + token + `"}`
		}},
	} {
		w := newWorld(t)
		t.Setenv("AWS_SESSION_TOKEN", token)
		w.answer = func(out http.ResponseWriter, r *http.Request, _ string) {
			out.WriteHeader(400)
			_, _ = io.WriteString(out, c.answer(r.Header.Get("X-Amz-Security-Token")))
		}
		_, err := w.Ask(t.Context(), As{}, c.call)
		var service *ServiceError
		if !errors.As(err, &service) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, text := range []string{err.Error(), service.Error(), service.Message, string(service.Body)} {
			for _, not := range []string{token[:6], "SESSION", secret} {
				if strings.Contains(text, not) {
					t.Errorf("%s: %q is in %q", name, not, text)
				}
			}
		}
		if name == "JSON" && !strings.Contains(err.Error(), "x-amz-security-token:(left out) x-amz-target:y") {
			t.Errorf("the rest is gone too: %v", err)
		}
	}
}

func TestWhyARoleIsNotAssumedShowsNoCredentials(t *testing.T) {
	w := newWorld(t)
	t.Setenv("AWS_SESSION_TOKEN", "IQoJb3JpZ2luX2VjE/SESSION+TOKEN==")
	w.answer = func(out http.ResponseWriter, r *http.Request, _ string) {
		out.WriteHeader(403)
		_, _ = io.WriteString(out, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>should have been x-amz-security-token:`+r.Header.Get("X-Amz-Security-Token")+` end</Message></Error></ErrorResponse>`)
	}
	_, err := w.Ask(t.Context(), As{Role: "arn:aws:iam::111122223333:role/sweeper"}, putItem)
	if err == nil || strings.Contains(err.Error(), "SESSION") || !strings.Contains(err.Error(), "x-amz-security-token:(left out) end") {
		t.Error(err)
	}
}
