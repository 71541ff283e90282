package awscall

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/shuin/shuin/internal/shuintest"
)

// eager is a body as smithy-go's: it can write itself, and once closed it says
// io.EOF where nothing is left to be written.
type eager struct {
	*bytes.Reader
	closed bool
}

func (e *eager) WriteTo(w io.Writer) (int64, error) {
	if e.closed {
		return 0, io.EOF
	}
	return e.Reader.WriteTo(w)
}

func (e *eager) Close() error { e.closed = true; return nil }

func TestABodyThatIsClosedWhenTheAnswerBeginsIsNoFailure(t *testing.T) {
	body := &eager{Reader: bytes.NewReader([]byte("request"))}
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Body = body
	_, err = bounded{shuintest.RoundTripper(func(sent *http.Request) (*http.Response, error) {
		all := make([]byte, len("request"))
		if _, err := io.ReadFull(sent.Body, all); err != nil || string(all) != "request" {
			t.Errorf("%q, %v", all, err)
		}
		body.closed = true // the SDK, once the answer has begun
		// net/http looks whether there is more than it was told.
		if n, err := io.Copy(io.Discard, sent.Body); n != 0 || err != nil {
			t.Errorf("after the body: %d bytes, %v", n, err)
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if req.Body != io.ReadCloser(body) {
		t.Error("the caller's request was changed")
	}
}
