package awssigner

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

// try sends a request, rightly signed, and holds whatever comes back against
// what every answer must be.
func try(t *testing.T, b *bench, r *http.Request, body string) {
	b.t = t
	b.sign(r, body)
	before := b.fake.calls
	w := b.send(again(r, body))
	switch {
	case w.Code == http.StatusOK:
		if b.fake.calls != before+1 {
			t.Fatalf("answered without the service: %s", w.Body)
		}
		sane(t, b.fake.in)
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("not JSON: %q", w.Body)
		}
	case w.Code >= 400 && w.Code < 500:
		if b.fake.calls != before {
			t.Fatalf("refused after the service was asked: %s", w.Body)
		}
		if got := readRefusal(t, w.Body.Bytes()); got.Code == "" || got.Message == "" || len(got.Message) > 16<<10 {
			t.Fatalf("%d %+v", w.Code, got)
		}
	default:
		t.Fatalf("status %d: %s\n%s", w.Code, w.Body, b.log)
	}
}

// sane: what reaches the service is within the model.
func sane(t *testing.T, in any) {
	name := func(s string) {
		if !awsprofile.ValidName(s) {
			t.Fatalf("profile name %q", s)
		}
	}
	switch in := in.(type) {
	case signing.SignPayloadInput:
		name(in.ProfileName)
		if len(in.Payload) < 1 || len(in.Payload) > payloadMost || in.ProfileOwner != "" && !awsprofile.ValidAccount(in.ProfileOwner) {
			t.Fatalf("%+v", in)
		}
	case signing.PutSigningProfileInput:
		name(in.ProfileName)
		for k, v := range in.Tags {
			if k == "" || strings.HasPrefix(k, "aws:") || len(v) > 4*256 {
				t.Fatalf("%+v", in)
			}
		}
	case signing.RevokeSigningProfileInput:
		name(in.ProfileName)
		if !awsprofile.ValidVersion(in.ProfileVersion) || in.Reason == "" || in.EffectiveTime.Year() < 1 || in.EffectiveTime.Year() > 9999 {
			t.Fatalf("%+v", in)
		}
	case signing.AddProfilePermissionInput:
		name(in.ProfileName)
	case signing.RevokeSignatureInput:
		if in.JobID == "" || in.Reason == "" {
			t.Fatalf("%+v", in)
		}
	case signing.ListSigningJobsInput:
		if in.MaxResults < 0 || in.MaxResults > 25 {
			t.Fatalf("%+v", in)
		}
	case signing.GetRevocationStatusInput:
		if in.SignatureTimestamp.IsZero() || len(in.CertificateHashes) == 0 || len(in.CertificateHashes) > 32 {
			t.Fatalf("%+v", in)
		}
	case tagCall:
		if in.ARN == "" {
			t.Fatalf("%+v", in)
		}
	}
}

// bodied are the operations that read a body, with the path to each.
var bodied = []struct{ method, path string }{
	{"POST", signAt}, {"POST", "/signing-jobs"}, {"PUT", "/signing-jobs/7f2c/revoke"}, {"PUT", "/signing-profiles/build"},
	{"PUT", "/signing-profiles/build/revoke"}, {"POST", "/signing-profiles/build/permissions"}, {"POST", tagPath},
}

func FuzzRequestBody(f *testing.F) {
	f.Add(uint8(0), goodSign, "application/json")
	f.Add(uint8(1), `{"source":{"s3":{"bucketName":"b","key":"k","version":"1"}},"destination":{},"profileName":"build","clientRequestToken":"t"}`, "")
	f.Add(uint8(2), `{"reason":"r","jobOwner":"111122223333"}`, "")
	f.Add(uint8(3), `{"platformId":"p","signatureValidityPeriod":{"value":1,"type":"DAYS"},"signingParameters":{"a":"b"},"signingMaterial":{"certificateArn":"a"},"overrides":{},"tags":{"a":"b"}}`, "")
	f.Add(uint8(4), `{"profileVersion":"abcdefghij","reason":"r","effectiveTime":1.5e9}`, "")
	f.Add(uint8(5), `{"action":"a","principal":"p","statementId":"s"}`, "text/plain")
	f.Add(uint8(6), `{"tags":{"a":"b","c":null}}`, "")
	b := newBench(f, func(s *Server) { s.Rate, s.Burst, s.Log = 1e12, 1e12, nil })
	f.Fuzz(func(t *testing.T, op uint8, body, contentType string) {
		o := bodied[int(op)%len(bodied)]
		b.forgetAll(1000)
		if strings.ContainsFunc(contentType, func(r rune) bool { return r < ' ' || r > '~' }) {
			contentType = ""
		}
		try(t, b, b.unsigned(o.method, o.path, body, "Content-Type", contentType), body)
	})
}

// queried are the operations that read a query.
var queried = []struct{ method, path string }{
	{"GET", "/signing-jobs"}, {"GET", "/signing-profiles"}, {"GET", "/signing-profiles/build"}, {"GET", "/signing-profiles/build/permissions"},
	{"DELETE", "/signing-profiles/build/permissions/s"}, {"GET", "/revocations"}, {"GET", "/signing-platforms"}, {"DELETE", tagPath},
}

func FuzzRequestQuery(f *testing.F) {
	f.Add(uint8(0), "status=Succeeded&platformId=p&requestedBy=a&maxResults=25&nextToken=t&isRevoked=false&signatureExpiresBefore=2026-11-21T23:31:32Z&jobInvoker=444455556666")
	f.Add(uint8(1), "includeCanceled=true&statuses=Active&statuses=Canceled")
	f.Add(uint8(2), "profileOwner=111122223333")
	f.Add(uint8(4), "revisionId=r")
	f.Add(uint8(5), "certificateHashes=b&certificateHashes=a&jobArn="+jobARN+"&platformId=p&profileVersionArn="+versionARN+"&signatureTimestamp=2026-11-21T23:31:32Z")
	f.Add(uint8(6), "category=%zz")
	f.Add(uint8(7), "tagKeys=a&tagKeys=b%2F")
	b := newBench(f, func(s *Server) { s.Rate, s.Burst, s.Log = 1e12, 1e12, nil })
	f.Fuzz(func(t *testing.T, op uint8, query string) {
		o := queried[int(op)%len(queried)]
		b.forgetAll(1000)
		r := b.unsigned(o.method, o.path, "")
		r.URL.RawQuery = query
		// The SDK's signer rewrites the query; what it cannot read it drops.
		try(t, b, r, "")
		raw := b.unsigned(o.method, o.path, "")
		raw.URL.RawQuery = query
		if w := b.send(raw); w.Code != http.StatusForbidden {
			t.Fatalf("without a signature: %d", w.Code)
		}
	})
}

func FuzzRequestPath(f *testing.F) {
	for _, o := range operations {
		f.Add(o.method, o.path)
	}
	f.Add("GET", tagPath)
	f.Add("DELETE", "/signing-profiles/%61b/permissions/%2F%00")
	b := newBench(f, func(s *Server) { s.Rate, s.Burst, s.Log = 1e12, 1e12, nil })
	f.Fuzz(func(t *testing.T, method, path string) {
		b.forgetAll(1000)
		r := b.unsigned("GET", "/", "")
		u, err := r.URL.Parse("http://" + testHost + path)
		if err != nil || u.Host != testHost || u.User != nil || !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		r.Method, r.URL = method, u
		q := &request{http: r}
		routed := q.route() == nil
		before := b.fake.calls
		try(t, b, r, "")
		if b.fake.calls > before && (!routed || b.fake.op != q.op.name) {
			t.Fatalf("%s %s was %s", method, path, b.fake.op)
		}
	})
}

// forgetAll empties the memory of signatures, which then takes most.
func (b *bench) forgetAll(most int) { b.handler.(*door).replays = newReplays(b.clock(), most, most) }
