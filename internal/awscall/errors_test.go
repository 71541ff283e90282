package awscall

import (
	"strings"
	"testing"
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
