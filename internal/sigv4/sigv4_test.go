package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sigv4"
)

const (
	keyID  = "AKIAIOSFODNN7EXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var signedAt = time.Date(2026, 11, 21, 23, 31, 32, 0, time.UTC)

func sum(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }

// outgoing is a request as a client builds it.
func outgoing(t testing.TB, method, target string, body []byte, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		t.Skip("no URL") // fuzz input only
	}
	for k, v := range header {
		r.Header[k] = v
	}
	return r
}

// sdkSign signs with the official SDK.
func sdkSign(t testing.TB, r *http.Request, body []byte, region string, token string) {
	t.Helper()
	c := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: token}
	if err := v4.NewSigner().SignHTTP(context.Background(), c, r, sum(body), "signer", region, signedAt); err != nil {
		t.Fatal(err)
	}
}

// arrive sends r over the wire format and gives the request that a server reads.
func arrive(t testing.TB, r *http.Request, body []byte) *http.Request {
	t.Helper()
	got := make(chan *http.Request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- r }))
	defer srv.Close()
	out := r.Clone(context.Background())
	if out.Host == "" {
		out.Host = out.URL.Host
	}
	u, _ := url.Parse(srv.URL)
	out.URL.Scheme, out.URL.Host = "http", u.Host
	out.Body = http.NoBody
	if len(body) > 0 {
		out.Body = http.NoBody
		out.ContentLength = int64(len(body))
		out.Body = readCloser{bytes.NewReader(body)}
	}
	res, err := srv.Client().Do(out)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return <-got
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func check(r *http.Request, body []byte) (*sigv4.Signed, error) {
	s, err := sigv4.Parse(r)
	if err != nil {
		return nil, err
	}
	return s, s.Verify(r, body, secret, nil)
}

func TestRequestsOfTheOfficialSDKAreAccepted(t *testing.T) {
	tag := "/tags/arn%3Aaws%3Asigner%3Aus-west-2%3A111122223333%3A%2Fsigning-profiles%2Fx"
	for _, c := range []struct {
		name, method, target, body, region, token string
		header                                    http.Header
	}{
		{name: "a plain GET", method: "GET", target: "http://signer.example/signing-profiles"},
		{name: "an empty path", method: "GET", target: "http://signer.example"},
		{name: "a body, whose length is signed", method: "POST", target: "http://signer.example/signing-jobs/with-payload", body: `{"a":1}`, header: http.Header{"Content-Type": {"application/json"}}},
		{name: "a port in the host", method: "GET", target: "http://data-signer.example:18080/revocations?x=1"},
		{name: "a path that is escaped already", method: "GET", target: "http://signer.example" + tag},
		{name: "keys repeated, values empty, values to be escaped", method: "DELETE", target: "http://signer.example" + tag + "?tagKeys=b&tagKeys=a%2Fb&tagKeys=a-b&tagKeys=&x=%20%2B~*&%C3%A9=%E2%82%AC"},
		{name: "a plus in the query is a space", method: "GET", target: "http://signer.example/signing-jobs?requestedBy=a+b%20c"},
		{name: "values with spaces inside and around", method: "GET", target: "http://signer.example/", header: http.Header{"X-Amz-Meta": {"  a   b  c "}, "Amz-Sdk-Request": {"attempt=1;  max=3"}}},
		{name: "a header sent twice", method: "GET", target: "http://signer.example/", header: http.Header{"X-Amz-Meta": {"b  1", " a"}}},
		{name: "the SDK's own headers", method: "GET", target: "http://signer.example/", header: http.Header{"Amz-Sdk-Invocation-Id": {"f0e5"}, "Amz-Sdk-Request": {"attempt=1; max=3"}, "User-Agent": {"x"}}},
		{name: "a session token", method: "GET", target: "http://signer.example/", token: "FwoG/+=="},
		{name: "an empty region", method: "GET", target: "http://signer.example/", region: "-"},
		{name: "the hash of the body in a header", method: "POST", target: "http://signer.example/", body: "x", header: http.Header{"X-Amz-Content-Sha256": {sum([]byte("x"))}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			region := c.region
			if region == "" {
				region = "us-west-2"
			} else if region == "-" {
				region = ""
			}
			r := outgoing(t, c.method, c.target, []byte(c.body), c.header)
			sdkSign(t, r, []byte(c.body), region, c.token)
			in := arrive(t, r, []byte(c.body))
			s, err := check(in, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if s.AccessKeyID != keyID || s.Region != region || s.Service != "signer" || !s.Time.Equal(signedAt) || s.SessionToken != c.token {
				t.Errorf("read %+v", s)
			}
			var e *sigv4.Error
			var keys sigv4.Keys
			for range 2 { // derived, remembered
				if err := s.Verify(in, []byte(c.body), secret, &keys); err != nil {
					t.Error(err)
				}
			}
			if err := s.Verify(in, []byte(c.body+" "), secret, &keys); !errors.As(err, &e) || e.Code != sigv4.CodeInvalid {
				t.Errorf("another body: %v", err)
			}
			if err := s.Verify(in, []byte(c.body), secret+"x", &keys); !errors.As(err, &e) || e.Code != sigv4.CodeInvalid {
				t.Errorf("another secret: %v", err)
			}
			other := *s // as it is, but for the next day, region or service
			for name, change := range map[string]func(){
				"day": func() { other.Time = s.Time.AddDate(0, 0, 1) }, "region": func() { other.Region = "eu-west-1" }, "service": func() { other.Service = "s3" },
			} {
				other = *s
				change()
				if err := other.Verify(in, []byte(c.body), secret, &keys); !errors.As(err, &e) || e.Code != sigv4.CodeInvalid {
					t.Errorf("another %s with a key that is remembered: %v", name, err)
				}
				if err := s.Verify(in, []byte(c.body), secret, &keys); err != nil {
					t.Errorf("the first again after another %s: %v", name, err)
				}
			}
		})
	}
}

// The request of AWS's published example (get-vanilla and its relatives).
func TestThePublishedExampleIsAccepted(t *testing.T) {
	r := httptest.NewRequest("GET", "/?Param2=value2&Param1=value1", nil)
	r.Host = "example.amazonaws.com"
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r, nil, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", nil); err != nil {
		t.Error(err)
	}
}

func TestAnAbsoluteFormRequestIsOfTheHostItNames(t *testing.T) {
	r := outgoing(t, "GET", "http://verification.signer.example/revocations?a=1", nil, nil)
	sdkSign(t, r, nil, "us-west-2", "")
	// As through HTTP_PROXY: the target is whole, and httptest reads it as a server does.
	in := httptest.NewRequest("GET", "http://verification.signer.example/revocations?a=1", nil)
	in.Header = r.Header
	if in.Host != "verification.signer.example" {
		t.Fatalf("host %q", in.Host)
	}
	if _, err := check(in, nil); err != nil {
		t.Error(err)
	}
	in.Host = "signer.example"
	if _, err := check(in, nil); err == nil {
		t.Error("accepted for another host")
	}
}

func TestWhatWasChangedAfterSigningIsRefused(t *testing.T) {
	for name, change := range map[string]func(r *http.Request){
		"method":             func(r *http.Request) { r.Method = "PUT" },
		"path":               func(r *http.Request) { r.URL.Path = "/signing-profiles/b" },
		"escaping of a path": func(r *http.Request) { r.URL.RawPath = "/signing-profiles/%61" },
		"query value":        func(r *http.Request) { r.URL.RawQuery = "a=1&a=3" },
		"query added":        func(r *http.Request) { r.URL.RawQuery += "&b" },
		"query removed":      func(r *http.Request) { r.URL.RawQuery = "a=1" },
		"host":               func(r *http.Request) { r.Host = "signer.example:80" },
		"signed header":      func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"signed header twice": func(r *http.Request) {
			r.Header.Add("Content-Type", "text/plain")
		},
		"signed header gone": func(r *http.Request) { r.Header.Del("Content-Type") },
		"date": func(r *http.Request) {
			r.Header.Set("X-Amz-Date", "20261121T233133Z")
		},
		"region": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-west-2", "us-west-1", 1))
		},
		"service": func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/signer/", "/s3/", 1))
		},
		"signature": func(r *http.Request) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-64]+strings.Repeat("0", 64))
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte("{}")
			r := outgoing(t, "POST", "http://signer.example/signing-profiles/a?a=1&a=2", body, http.Header{"Content-Type": {"application/json"}})
			sdkSign(t, r, body, "us-west-2", "")
			in := arrive(t, r, body)
			if _, err := check(in, body); err != nil {
				t.Fatal(err)
			}
			change(in)
			var e *sigv4.Error
			if _, err := check(in, body); !errors.As(err, &e) || e.Code != sigv4.CodeInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const cred = "Credential=" + keyID + "/20261121/us-west-2/signer/aws4_request"
	sig := "Signature=" + strings.Repeat("a", 64)
	good := "AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host;x-amz-date, " + sig
	many := make([]string, limits.SigV4SignedHeaders+1)
	for i := range many {
		many[i] = "h" + strconv.Itoa(1000+i)
	}
	for _, c := range []struct {
		name, query, auth, code, says string
		header                        http.Header
	}{
		{name: "nothing at all", auth: "-", code: sigv4.CodeMissing, says: "no Authorization"},
		{name: "an empty header", auth: " ", code: sigv4.CodeMissing},
		{name: "a presigned request", query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00", auth: "-", code: sigv4.CodeIncomplete, says: "presigned"},
		{name: "a presigned request beside a header", query: "x-amz-signature=00", code: sigv4.CodeIncomplete, says: "presigned"},
		{name: "a malformed query", query: "a=%zz", code: sigv4.CodeIncomplete, says: "query"},
		{name: "a semicolon in the query", query: "a=1;b=2", code: sigv4.CodeIncomplete, says: "query"},
		{name: "too many parameters", query: strings.Repeat("a&", limits.SigV4QueryParameters), code: sigv4.CodeIncomplete, says: "parameters"},
		{name: "two Authorization headers", header: http.Header{"Authorization": {good, good}}, code: sigv4.CodeIncomplete, says: "more than one"},
		{name: "a huge header", auth: good + strings.Repeat(" ", limits.SigV4Authorization), code: sigv4.CodeIncomplete, says: "longer"},
		{name: "basic authentication", auth: "Basic Zm9v", code: sigv4.CodeIncomplete, says: "algorithm"},
		{name: "the asymmetric algorithm", auth: strings.Replace(good, "HMAC-SHA256", "ECDSA-P256-SHA256", 1), code: sigv4.CodeIncomplete, says: "algorithm"},
		{name: "no credential", auth: "AWS4-HMAC-SHA256 SignedHeaders=host;x-amz-date, " + sig, code: sigv4.CodeIncomplete, says: "'Credential'"},
		{name: "no signed headers", auth: "AWS4-HMAC-SHA256 " + cred + ", " + sig, code: sigv4.CodeIncomplete, says: "'SignedHeaders'"},
		{name: "no signature", auth: "AWS4-HMAC-SHA256 " + cred + ", SignedHeaders=host;x-amz-date", code: sigv4.CodeIncomplete, says: "'Signature'"},
		{name: "a part twice", auth: good + ", " + sig, code: sigv4.CodeIncomplete, says: "more than once"},
		{name: "an unknown part", auth: good + ", Foo=1", code: sigv4.CodeIncomplete, says: "a part that is not"},
		{name: "a part with no value", auth: good + ", Foo", code: sigv4.CodeIncomplete, says: "a part that is not"},
		{name: "a credential of four parts", auth: strings.Replace(good, "/signer/", "/", 1), code: sigv4.CodeIncomplete, says: "exactly 5"},
		{name: "a credential of six parts", auth: strings.Replace(good, "/signer/", "/signer/x/", 1), code: sigv4.CodeIncomplete, says: "exactly 5"},
		{name: "another terminator", auth: strings.Replace(good, "aws4_request", "aws5_request", 1), code: sigv4.CodeInvalid, says: "terminator"},
		{name: "an odd access key id", auth: strings.Replace(good, keyID, "AK!A", 1), code: sigv4.CodeIncomplete, says: "access key id"},
		{name: "a credential of another day", auth: strings.Replace(good, "20261121", "20261122", 1), code: sigv4.CodeInvalid, says: "Date in Credential"},
		{name: "upper-case hexadecimal", auth: strings.Replace(good, "aaaa", "AAAA", 1), code: sigv4.CodeIncomplete, says: "hexadecimal"},
		{name: "a short signature", auth: good[:len(good)-2], code: sigv4.CodeIncomplete, says: "hexadecimal"},
		{name: "headers out of order", auth: strings.Replace(good, "host;x-amz-date", "x-amz-date;host", 1), code: sigv4.CodeIncomplete, says: "sorted"},
		{name: "a header twice in the list", auth: strings.Replace(good, "host;", "host;host;", 1), code: sigv4.CodeIncomplete, says: "sorted"},
		{name: "a capital in the list", auth: strings.Replace(good, "host;", "Host;", 1), code: sigv4.CodeIncomplete, says: "lower-case"},
		{name: "an empty name in the list", auth: strings.Replace(good, "host;", "host;;", 1), code: sigv4.CodeIncomplete, says: "lower-case"},
		{name: "authorization in the list", auth: strings.Replace(good, "host;", "authorization;host;", 1), code: sigv4.CodeIncomplete, says: "authorization"},
		{name: "too many signed headers", auth: strings.Replace(good, "host;", strings.Join(many, ";")+";host;", 1), code: sigv4.CodeIncomplete, says: "signed headers"},
		{name: "a host that is not signed", auth: strings.Replace(good, "host;", "", 1), code: sigv4.CodeInvalid, says: "'Host'"},
		{name: "a date that is not signed", auth: strings.Replace(good, ";x-amz-date", "", 1), code: sigv4.CodeInvalid, says: "X-Amz-Date"},
		{name: "a token that is not signed", header: http.Header{"X-Amz-Security-Token": {"t"}}, code: sigv4.CodeInvalid, says: "X-Amz-Security-Token"},
		{name: "no date", header: http.Header{"X-Amz-Date": nil}, code: sigv4.CodeIncomplete, says: "X-Amz-Date"},
		{name: "two dates", header: http.Header{"X-Amz-Date": {"20261121T233132Z", "20261121T233132Z"}}, code: sigv4.CodeIncomplete, says: "Date"},
		{name: "another form of date", header: http.Header{"X-Amz-Date": {"2026-11-21T23:31:32Z"}}, code: sigv4.CodeIncomplete, says: "ISO-8601"},
		{name: "no body hash", auth: strings.Replace(good, "host;", "host;x-amz-content-sha256;", 1), header: http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}, code: sigv4.CodeInvalid, says: "UNSIGNED-PAYLOAD"},
		{name: "a streaming hash", auth: strings.Replace(good, "host;", "host;x-amz-content-sha256;", 1), header: http.Header{"X-Amz-Content-Sha256": {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}, code: sigv4.CodeInvalid, says: "STREAMING"},
		{name: "two hashes of the body", auth: strings.Replace(good, "host;", "host;x-amz-content-sha256;", 1), header: http.Header{"X-Amz-Content-Sha256": {sum(nil), sum(nil)}}, code: sigv4.CodeIncomplete, says: "more than one X-Amz-Content-Sha256"},
		{name: "two tokens", auth: strings.Replace(good, "x-amz-date", "x-amz-date;x-amz-security-token", 1), header: http.Header{"X-Amz-Security-Token": {"t", "t"}}, code: sigv4.CodeIncomplete, says: "more than one X-Amz-Security-Token"},
		{name: "an empty hash", auth: strings.Replace(good, "host;", "host;x-amz-content-sha256;", 1), header: http.Header{"X-Amz-Content-Sha256": {""}}, code: sigv4.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.RawQuery = c.query
			r.Header.Set("X-Amz-Date", "20261121T233132Z")
			switch c.auth {
			case "":
				r.Header.Set("Authorization", good)
			case "-":
			default:
				r.Header.Set("Authorization", c.auth)
			}
			for k, v := range c.header {
				r.Header[k] = v
				if v == nil {
					delete(r.Header, k)
				}
			}
			_, err := sigv4.Parse(r)
			var e *sigv4.Error
			if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Message, c.says) {
				t.Errorf("got %v (%+v)", err, e)
			}
		})
	}
}

// What stands in the wrong place of a header may be a secret.
func TestNoRefusalQuotesTheAuthorizationHeader(t *testing.T) {
	const hidden = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab"
	scope := "/20261121/us-west-2/signer/aws4_request"
	rest := ", SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("a", 64)
	for _, auth := range []string{
		hidden,
		"Bearer " + hidden,
		"AWS4-HMAC-SHA256 " + hidden,
		"AWS4-HMAC-SHA256 " + hidden + "=" + hidden + rest,
		"AWS4-HMAC-SHA256 Credential=" + secret + scope + rest,
		"AWS4-HMAC-SHA256 Credential=" + hidden + rest,
		"AWS4-HMAC-SHA256 Credential=" + hidden + "!" + scope + rest,
		"AWS4-HMAC-SHA256 Credential=" + hidden + scope + hidden + rest,
		"AWS4-HMAC-SHA256 Credential=" + keyID + "/" + hidden + "/us-west-2/signer/aws4_request" + rest,
		"AWS4-HMAC-SHA256 Credential=" + keyID + scope + strings.Replace(rest, "host;", hidden+";host;", 1),
		"AWS4-HMAC-SHA256 Credential=" + keyID + scope + ", SignedHeaders=host;x-amz-date, Signature=" + hidden,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Amz-Date", "20261121T233132Z")
		r.Header.Set("Authorization", auth)
		_, err := sigv4.Parse(r)
		if err == nil {
			t.Errorf("%q was read", auth)
		} else if strings.Contains(err.Error(), hidden[:8]) {
			t.Errorf("%q: %v", auth, err)
		}
	}
}

func TestTheBodyMustHaveTheHashThatIsClaimed(t *testing.T) {
	r := outgoing(t, "POST", "http://signer.example/", []byte("x"), http.Header{"X-Amz-Content-Sha256": {sum([]byte("y"))}})
	sdkSign(t, r, []byte("x"), "us-west-2", "")
	_, err := check(arrive(t, r, []byte("x")), []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "X-Amz-Content-Sha256") {
		t.Errorf("got %v", err)
	}
}

func TestASignedHeaderThatDidNotArriveIsNamed(t *testing.T) {
	r := outgoing(t, "GET", "http://signer.example/", nil, http.Header{"Amz-Sdk-Request": {"attempt=1"}})
	sdkSign(t, r, nil, "us-west-2", "")
	r.Header.Del("Amz-Sdk-Request")
	_, err := check(arrive(t, r, nil), nil)
	if err == nil || !strings.Contains(err.Error(), "amz-sdk-request") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential="+keyID+"/20261121/us-west-2/signer/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("a", 64), "20261121T233132Z", "a=1&b", "host")
	f.Add("AWS4-HMAC-SHA256 Credential=,,=", "", "%", "x")
	f.Fuzz(func(t *testing.T, auth, date, query, host string) {
		r := &http.Request{Method: "GET", Host: host, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Authorization": {auth}, "X-Amz-Date": {date}}}
		s, err := sigv4.Parse(r)
		if err != nil {
			var e *sigv4.Error
			if !errors.As(err, &e) || e.Code == "" || len(e.Message) > 8*1024 {
				t.Fatalf("not a refusal of ours: %v", err)
			}
			return
		}
		if s.AccessKeyID == "" || len(s.Signature) != 64 || s.Time.IsZero() || len(s.SignedHeaders) == 0 {
			t.Fatalf("accepted %+v", s)
		}
		if s.Verify(r, nil, secret, nil) == nil {
			t.Fatal("a signature out of nothing")
		}
	})
}

// FuzzCanonical: what the SDK signs we accept, and nothing beside it.
func FuzzCanonical(f *testing.F) {
	f.Add(uint64(1), "/tags/arn%3Aaws%2Fx", "a=1&a=&b=%2F", "a  b", "body")
	f.Add(uint64(2), "/é/~ !$&'()*+,;=:@", "tagKeys=a+b&tagKeys=é", " x ", "")
	f.Fuzz(func(t *testing.T, seed uint64, path, query, value, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") || u.Host != "" {
			t.Skip()
		}
		values, err := url.ParseQuery(query)
		if err != nil || len(values) > 50 {
			t.Skip()
		}
		for k := range values {
			if strings.HasPrefix(strings.ToLower(k), "x-amz-") {
				t.Skip()
			}
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
			t.Skip()
		}
		u.Scheme, u.Host, u.RawQuery = "http", "signer.example:8080", query
		random := rand.New(rand.NewPCG(seed, 1))
		r := &http.Request{Method: []string{"GET", "PUT", "POST", "DELETE"}[random.IntN(4)], URL: u, Host: u.Host, Header: http.Header{"Amz-Sdk-Request": {value}, "X-Amz-Meta-A": {value, "b"}}, ContentLength: int64(len(body))}
		sdkSign(t, r, []byte(body), "us-west-2", "")
		// The SDK sends its canonical query; a client may as well send another order.
		if _, err := check(r, []byte(body)); err != nil {
			t.Fatalf("refused what the SDK signed: %v", err)
		}
		parts := strings.Split(r.URL.RawQuery, "&")
		random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		r.URL.RawQuery = strings.Join(parts, "&")
		if _, err := check(r, []byte(body)); err != nil {
			t.Fatalf("refused another order: %v", err)
		}
		r.URL.RawQuery += "&more=1"
		if _, err := check(r, []byte(body)); err == nil {
			t.Fatal("accepted a parameter that was not signed")
		}
	})
}
