package awscall

import (
	"errors"
	"net/http"
	"strings"
	"testing"

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
		err := q.refusal(&http.Response{StatusCode: status, Header: http.Header{"X-Amzn-Errortype": {kind}}}, body)
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
