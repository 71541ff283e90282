package awsstate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

func TestAddressesOfObjects(t *testing.T) {
	for _, test := range []struct {
		in   string
		want Address
	}{
		{"s3://shuin-policy/pipeline.yaml", Address{Bucket: "shuin-policy", Key: "pipeline.yaml"}},
		{"s3://shuin.policy/a/b c/p.yaml", Address{Bucket: "shuin.policy", Key: "a/b c/p.yaml"}},
		{"s3://shuin-policy/p.yaml?versionId=L4kqtJlcpXroDTDmpUMLUo", Address{"shuin-policy", "p.yaml", "L4kqtJlcpXroDTDmpUMLUo"}},
		{"s3://shuin-policy/100%25%3F.yaml", Address{Bucket: "shuin-policy", Key: "100%?.yaml"}},
		{"s3://shuin-policy/a//b", Address{Bucket: "shuin-policy", Key: "a//b"}},
	} {
		got, err := ParseAddress(test.in)
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v", test.in, got, err)
		}
		if again, err := ParseAddress(got.String()); err != nil || again != got {
			t.Errorf("%s is written as %s, which reads as %+v, %v", test.in, got, again, err)
		}
	}
	for _, in := range []string{
		"", "shuin-policy/p.yaml", "https://shuin-policy.s3.amazonaws.com/p.yaml", "S3://shuin-policy/p", "s3://", "s3://shuin-policy", "s3://shuin-policy/",
		"s3://ab/p", "s3://Shuin/p", "s3://a..b/p", "s3://-/p", "s3://bucket@evil/p", "s3://evil.example:80/p", "s3://shuin-policy//p", "s3://shuin-policy/../other/p",
		"s3://shuin-policy/a/./p", "s3://shuin-policy/p%zz", "s3://shuin-policy/p?versionId=", "s3://shuin-policy/p?versionid=1", "s3://shuin-policy/p?versionId=1&versionId=2",
		"s3://shuin-policy/p?versionId=1&acl", "s3://shuin-policy/" + strings.Repeat("k", 1025),
	} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("%q is taken, as %+v", in, got)
		} else if shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("s3://shuin-policy/a%20b?versionId=1")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("%q: %+v is written as %q, which reads as %+v, %v", s, a, a.String(), again, err)
		}
	})
}

// bucket answers GetObject of one object, and refuses all else.
type bucket struct {
	t                       *testing.T
	path, data, etag, query string
	asked, sent             int
	status                  int
	body                    string
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.asked++
	if r.Method != http.MethodGet || r.URL.EscapedPath() != b.path || r.URL.RawQuery != b.query {
		b.t.Errorf("asked for %s %s", r.Method, r.URL)
	}
	if r.Header.Get("X-Amz-Content-Sha256") == "" || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/s3/aws4_request") {
		b.t.Errorf("not signed for S3: %v", r.Header)
	}
	if b.status != 0 {
		w.WriteHeader(b.status)
		_, _ = fmt.Fprint(w, b.body)
		return
	}
	w.Header().Set("ETag", b.etag)
	w.Header().Set("x-amz-version-id", "v1")
	if r.Header.Get("If-None-Match") == b.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	b.sent++
	_, _ = fmt.Fprint(w, b.data)
}

func TestAnObjectIsReadOnceUntilItChanges(t *testing.T) {
	b := &bucket{t: t, path: "/shuin-policy/prod/pipeline%20v1.yaml", data: "apiVersion: shuin.dev/v1\n", etag: `"1"`}
	o := &Objects{Caller: newCaller(t, b)}
	a := Address{Bucket: "shuin-policy", Key: "prod/pipeline v1.yaml"}
	first, err := o.Read(ctx, a, 1000, nil)
	if err != nil || string(first.Data) != b.data || first.Version != "v1" {
		t.Fatalf("%+v %v", first, err)
	}
	second, err := o.Read(ctx, a, 1000, first)
	if err != nil || second != first || b.sent != 1 || b.asked != 2 {
		t.Errorf("%v: sent %d times in %d requests", err, b.sent, b.asked)
	}
	b.data, b.etag = "changed", `"2"`
	third, err := o.Read(ctx, a, 1000, second)
	if err != nil || string(third.Data) != "changed" || third.ETag != `"2"` {
		t.Errorf("%+v %v", third, err)
	}
}

func TestAVersionOfAnObjectIsAskedForOnce(t *testing.T) {
	b := &bucket{t: t, path: "/shuin-policy/p.yaml", query: "versionId=v1", data: "x", etag: `"1"`}
	o := &Objects{Caller: newCaller(t, b)}
	a := Address{Bucket: "shuin-policy", Key: "p.yaml", Version: "v1"}
	first, err := o.Read(ctx, a, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.Read(ctx, a, 1000, first); again != first || err != nil || b.asked != 1 {
		t.Error(err, b.asked)
	}
	b.query, a.Version = "versionId=v0", "v0"
	if _, err := o.Read(ctx, a, 1000, nil); shuin.CodeOf(err) != shuin.CodeMalformed {
		t.Error("another version than was asked for is taken:", err)
	}
}

func TestWhyAnObjectCannotBeReadIsTold(t *testing.T) {
	const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message>%s<RequestId>4442587FB7D0A2F9</RequestId></Error>`
	for _, test := range []struct {
		name   string
		status int
		body   string
		code   shuin.Code
		words  string
	}{
		{"no such object", 404, fmt.Sprintf(xml, "NoSuchKey", "The specified key does not exist.", "<Key>p</Key>"), shuin.CodeNotFound, "no object of this key"},
		{"no such bucket", 404, fmt.Sprintf(xml, "NoSuchBucket", "The specified bucket does not exist", ""), shuin.CodeNotFound, "there is no bucket shuin-policy"},
		{"no such version", 404, fmt.Sprintf(xml, "NoSuchVersion", "", ""), shuin.CodeNotFound, "no such version"},
		{"not allowed", 403, fmt.Sprintf(xml, "AccessDenied", "Access Denied", ""), shuin.CodeForbidden, "allow s3:GetObject on arn:aws:s3:::shuin-policy/p"},
		{"not allowed may be not there", 403, fmt.Sprintf(xml, "AccessDenied", "Access Denied", ""), shuin.CodeForbidden, "s3:ListBucket"},
		{"a wrong key", 403, fmt.Sprintf(xml, "SignatureDoesNotMatch", "", ""), shuin.CodeUnauthorized, "secret key is wrong"},
		{"another region", 301, fmt.Sprintf(xml, "PermanentRedirect", "", "<Endpoint>x</Endpoint>"), shuin.CodeInvalidInput, "another region"},
		{"another region by name", 400, fmt.Sprintf(xml, "AuthorizationHeaderMalformed", "", "<Region>us-west-2</Region>"), shuin.CodeInvalidInput, "us-west-2"},
		{"too many requests", 503, fmt.Sprintf(xml, "SlowDown", "Please reduce your request rate.", ""), shuin.CodeThrottled, "later"},
		{"out of order", 500, "", shuin.CodeUnavailable, "try again"},
		{"unchanged, though nothing was there before", 304, "", shuin.CodeInvalidInput, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := &Objects{Caller: newCaller(t, &bucket{t: t, path: "/shuin-policy/p", status: test.status, body: test.body})}
			_, err := o.Read(ctx, Address{Bucket: "shuin-policy", Key: "p"}, 1000, nil)
			if shuin.CodeOf(err) != test.code || !strings.Contains(shuin.HintOf(err), test.words) {
				t.Errorf("%s: %v; hint %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
		})
	}
}

func TestAnObjectThatIsTooLargeIsRefused(t *testing.T) {
	o := &Objects{Caller: newCaller(t, &bucket{t: t, path: "/shuin-policy/p", data: "12345", etag: `"1"`})}
	if _, err := o.Read(ctx, Address{Bucket: "shuin-policy", Key: "p"}, 4, nil); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Error(err)
	}
}

func TestTheBucketIsInTheHostsNameOnAWSItself(t *testing.T) {
	o := &Objects{Caller: newCaller(t, http.NotFoundHandler())}
	t.Setenv("AWS_ENDPOINT_URL", "")
	for _, test := range []struct{ region, bucket, fips, host, path string }{
		{"eu-west-1", "shuin-policy", "", "shuin-policy.s3.eu-west-1.amazonaws.com", "/p"},
		{"cn-north-1", "shuin-policy", "", "shuin-policy.s3.cn-north-1.amazonaws.com.cn", "/p"},
		{"eu-west-1", "shuin.policy", "", "", "/shuin.policy/p"},
		{"us-gov-west-1", "shuin-policy", "true", "", "/shuin-policy/p"},
		{"us-iso-east-1", "shuin-policy", "", "", "/shuin-policy/p"},
	} {
		t.Setenv("AWS_USE_FIPS_ENDPOINT", test.fips)
		o := &Objects{Caller: &awscall.Caller{UserAgent: "shuin/test", Now: o.Caller.Now}, As: awscall.As{Region: test.region}}
		q, err := o.call(ctx, Address{Bucket: test.bucket, Key: "p"})
		if err != nil || q.Host != test.host || q.Path != test.path {
			t.Errorf("%s %s: %s%s %v", test.region, test.bucket, q.Host, q.Path, err)
		}
	}
}
