package awsstate

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

// Address is where an object of S3 lies: "s3://BUCKET/KEY[?versionId=ID]".
type Address struct {
	Bucket, Key string
	Version     string // empty: the newest
}

// ParseAddress reads an address. The key is everything after the bucket, as it
// is, to a "?": a key that holds "?" or "%" is written with %3F or %25.
func ParseAddress(s string) (Address, error) {
	fail := func(what string) (Address, error) {
		return Address{}, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("%s: %q", what, awscall.Printable(s, 200)),
			Hint: "write s3://BUCKET/KEY, or s3://BUCKET/KEY?versionId=ID for one version of it",
		}
	}
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return fail("it is no address of an object in S3")
	}
	rest, query, versioned := strings.Cut(rest, "?")
	bucket, path, _ := strings.Cut(rest, "/")
	key, err := url.PathUnescape(path)
	switch {
	case err != nil, key == "", len(key) > 1024:
		return fail("the object has no key, or one that S3 does not have")
	case !validBucket(bucket):
		return fail("the bucket's name is none")
	case strings.HasPrefix(key, "/"), strings.Contains("/"+key+"/", "/../"), strings.Contains("/"+key+"/", "/./"):
		return fail("the key's parts do not come through HTTP unchanged")
	}
	a := Address{Bucket: bucket, Key: key}
	if versioned {
		q, err := url.ParseQuery(query)
		if err != nil || len(q) != 1 || len(q["versionId"]) != 1 || q.Get("versionId") == "" || len(query) > 2048 {
			return fail("what stands behind the ? is no versionId=ID")
		}
		a.Version = q.Get("versionId")
	}
	return a, nil
}

// validBucket: a name that can stand in a host's name. Source: Amazon S3 User
// Guide, "General purpose bucket naming rules".
func validBucket(s string) bool {
	if len(s) < 3 || len(s) > 63 || strings.Contains(s, "..") || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	})
}

// String is the address as ParseAddress reads it.
func (a Address) String() string {
	key := strings.NewReplacer("%", "%25", "?", "%3F").Replace(a.Key)
	s := "s3://" + a.Bucket + "/" + key
	if a.Version != "" {
		s += "?versionId=" + url.QueryEscape(a.Version)
	}
	return s
}

// Object is an object as it was read.
type Object struct {
	Data    []byte
	ETag    string
	Version string // the version's id; empty where the bucket keeps none
}

// Objects reads objects of S3. Safe for concurrent use.
type Objects struct {
	Caller *awscall.Caller
	As     awscall.As // the region is the bucket's
}

// Read reads an object of at most most bytes. have is what was read of the
// same address before, or nil: where the object is still that, it is the
// answer, for one request without a body; for none where the address names a
// version.
func (o *Objects) Read(ctx context.Context, a Address, most int, have *Object) (*Object, error) {
	if have != nil && a.Version != "" {
		return have, nil
	}
	q, err := o.call(ctx, a)
	if err != nil {
		return nil, err
	}
	if have != nil && have.ETag != "" {
		q.Header = http.Header{"If-None-Match": {have.ETag}}
	}
	got, err := o.Caller.Ask(ctx, o.As, q)
	if err != nil {
		var service *awscall.ServiceError
		if errors.As(err, &service) {
			if service.Status == http.StatusNotModified && have != nil {
				return have, nil
			}
			return nil, explained(q.Doing, a, service, err)
		}
		return nil, err
	}
	if len(got.Body) > most {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s: it has %d bytes, and may have %d", q.Doing, len(got.Body), most)}
	}
	version := got.Header.Get("x-amz-version-id")
	if version == "null" { // an object from before the bucket kept versions
		version = ""
	}
	if a.Version != "" && version != "" && version != a.Version {
		return nil, &shuin.Error{Code: shuin.CodeMalformed, Message: q.Doing + ": another version was answered"}
	}
	return &Object{Data: got.Body, ETag: got.Header.Get("ETag"), Version: version}, nil
}

// call is GetObject: the bucket in the host's name, as AWS wants it; in the
// path where the endpoint is not AWS's own, or a certificate for a host with
// dots in the bucket's name would not do.
func (o *Objects) call(ctx context.Context, a Address) (awscall.Call, error) {
	cfg, err := o.Caller.Config(ctx, o.As)
	if err != nil {
		return awscall.Call{}, err
	}
	q := awscall.Call{
		Doing: "read " + a.String(), Title: "Amazon S3", Service: "s3", ID: "S3", Protocol: awscall.REST,
		Target: "GetObject", Method: http.MethodGet, Path: "/" + a.Bucket + "/" + a.Key,
		Action: "s3:GetObject", Resource: "arn:" + awscall.Partition(cfg.Region) + ":s3:::" + a.Bucket + "/" + a.Key,
		Large: true,
	}
	if a.Version != "" {
		q.Query, q.Action = url.Values{"versionId": {a.Version}}, "s3:GetObjectVersion"
	}
	if domain := ownDomain(ctx, cfg.ConfigSources, cfg.BaseEndpoint, cfg.Region); domain != "" && !strings.Contains(a.Bucket, ".") {
		q.Host, q.Path = a.Bucket+".s3."+cfg.Region+"."+domain, "/"+a.Key
	}
	return q, nil
}

// explained says what S3's errors leave open: 403 is also said of what is not
// there, and another region's bucket is told in the answer alone.
func explained(doing string, a Address, e *awscall.ServiceError, err error) error {
	fail := func(code shuin.Code, hint string) error {
		return &shuin.Error{Code: code, Message: doing, Hint: hint, Err: e}
	}
	switch {
	case e.Code == "NoSuchBucket":
		return fail(shuin.CodeNotFound, "there is no bucket "+a.Bucket+": check its name and the account")
	case e.Code == "NoSuchKey":
		return fail(shuin.CodeNotFound, "the bucket has no object of this key: check the key, capitals too")
	case e.Code == "NoSuchVersion", e.Code == "MethodNotAllowed" && e.Status == http.StatusMethodNotAllowed:
		return fail(shuin.CodeNotFound, "the object has no such version, or it was deleted")
	case e.Code == "PermanentRedirect", e.Code == "AuthorizationHeaderMalformed", e.Code == "TemporaryRedirect", e.Status == http.StatusMovedPermanently:
		hint := "the bucket is in another region: name that"
		var body struct {
			Region string `xml:"Region"`
		}
		if xml.Unmarshal(e.Body, &body) == nil && body.Region != "" {
			hint = "the bucket is in " + awscall.Printable(body.Region, 40) + ": name that region"
		}
		return fail(shuin.CodeInvalidInput, hint)
	case e.Means() == shuin.CodeForbidden:
		return fail(shuin.CodeForbidden, shuin.HintOf(err)+"; S3 says the same of an object that is not there, to who lacks s3:ListBucket on the bucket; and a key of KMS needs kms:Decrypt")
	}
	return err
}
