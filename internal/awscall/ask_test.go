package awscall

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sigv4"
)

var (
	describe = Call{Doing: "read it", Title: "Amazon ECS", Service: "ecs", ID: "ECS", Protocol: JSON11, Target: "AmazonEC2ContainerServiceV20141113.DescribeTasks", Body: []byte("{}"),
		Action: "ecs:DescribeTasks", Resource: "the task"}
	putItem = Call{Doing: "write it", Title: "Amazon DynamoDB", Service: "dynamodb", ID: "DynamoDB", Protocol: JSON10, Target: "DynamoDB_20120810.PutItem", Body: []byte("{}"),
		Action: "dynamodb:PutItem", Resource: "the table"}
	publish = Call{Doing: "tell it", Title: "Amazon SNS", Service: "sns", ID: "SNS", Protocol: Query, Target: "Publish", Query: url.Values{"Version": {"2010-03-31"}, "Message": {"a b&c=d"}},
		Action: "sns:Publish", Resource: "the topic"}
	getObject = Call{Doing: "fetch it", Title: "Amazon S3", Service: "s3", ID: "S3", Protocol: REST, Target: "GetObject", Method: "GET", Path: "/bucket/a b/ü+~(1).yaml", Query: url.Values{"versionId": {"x y+/="}},
		Header: http.Header{"if-none-match": {`"e"`}}, Action: "s3:GetObject", Resource: "the object"}
	getFunction = Call{Doing: "look at it", Title: "AWS Lambda", Service: "lambda", ID: "Lambda", Protocol: REST, Target: "GetFunctionConfiguration", Method: "GET", Path: "/2015-03-31/functions/arn:x/configuration",
		Action: "lambda:GetFunctionConfiguration", Resource: "the function"}
)

// signed holds a request's signature to SigV4 as the service reckons it: S3
// takes the path as it was sent, all others escape it once more.
func signed(t *testing.T, r *http.Request, body, service string) {
	t.Helper()
	if service != "s3" {
		claim, err := sigv4.Parse(r)
		if err == nil {
			err = claim.Verify(r, []byte(body), "secret-that-is-never-shown", nil)
		}
		if err != nil || claim.Service != service || claim.Region != "us-west-2" {
			t.Errorf("%v", err)
		}
		return
	}
	auth := r.Header.Get("Authorization")
	_, names, _ := strings.Cut(auth, "SignedHeaders=")
	names, signature, _ := strings.Cut(names, ", Signature=")
	path, query, _ := strings.Cut(r.RequestURI, "?")
	sum := sha256.Sum256([]byte(body))
	canonical := r.Method + "\n" + path + "\n" + query + "\n"
	for name := range strings.SplitSeq(names, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.Itoa(len(body))
		}
		canonical += name + ":" + value + "\n"
	}
	canonical += "\n" + names + "\n" + hex.EncodeToString(sum[:])
	hashed := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4secret-that-is-never-shown")
	mac := func(text string) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		key = h.Sum(nil)
	}
	for _, text := range []string{"20260102", "us-west-2", "s3", "aws4_request",
		"AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/us-west-2/s3/aws4_request\n" + hex.EncodeToString(hashed[:])} {
		mac(text)
	}
	if hex.EncodeToString(key) != signature {
		t.Errorf("the signature does not match: %s of\n%s", auth, canonical)
	}
}

func TestEachProtocolIsSpokenAsItsServicesTakeIt(t *testing.T) {
	for _, tc := range []struct {
		name                       string
		call                       Call
		method, target, kind, host string
		uri, body                  string
	}{
		{"JSON 1.1", describe, "POST", "AmazonEC2ContainerServiceV20141113.DescribeTasks", "application/x-amz-json-1.1", "ecs.us-west-2.amazonaws.com", "/", "{}"},
		{"JSON 1.0", putItem, "POST", "DynamoDB_20120810.PutItem", "application/x-amz-json-1.0", "dynamodb.us-west-2.amazonaws.com", "/", "{}"},
		{"query", publish, "POST", "", "application/x-www-form-urlencoded; charset=utf-8", "sns.us-west-2.amazonaws.com", "/", "Action=Publish&Message=a+b%26c%3Dd&Version=2010-03-31"},
		{"REST of S3", getObject, "GET", "", "", "s3.us-west-2.amazonaws.com", "/bucket/a%20b/%C3%BC%2B~%281%29.yaml?versionId=x%20y%2B%2F%3D", ""},
		{"REST of another", getFunction, "GET", "", "", "lambda.us-west-2.amazonaws.com", "/2015-03-31/functions/arn%3Ax/configuration", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.says(200, "answer")
			got, err := w.Ask(t.Context(), As{}, tc.call)
			if err != nil || string(got.Body) != "answer" || got.Header.Get("Content-Length") != "6" {
				t.Fatalf("%+v %v", got, err)
			}
			r := w.seen[0]
			if r.Method != tc.method || r.Header.Get("X-Amz-Target") != tc.target || r.Header.Get("Content-Type") != tc.kind || r.Host != tc.host || r.RequestURI != tc.uri || w.bodies[0] != tc.body {
				t.Errorf("%s %s of %s: %v %q", r.Method, r.RequestURI, r.Host, r.Header, w.bodies[0])
			}
			if r.Header.Get("User-Agent") != "shuin/1.2.3" {
				t.Errorf("User-Agent %q", r.Header.Get("User-Agent"))
			}
			signed(t, r, w.bodies[0], tc.call.Service)
			if tc.call.Service == "s3" && (r.Header.Get("If-None-Match") != `"e"` || len(r.Header.Get("X-Amz-Content-Sha256")) != 64 || !strings.Contains(r.Header.Get("Authorization"), "if-none-match")) {
				t.Errorf("%v", r.Header)
			}
		})
	}
	w := newWorld(t)
	if _, err := w.Ask(t.Context(), As{}, Call{Service: "ecs"}); shuin.CodeOf(err) != shuin.CodeInvalidInput || len(w.seen) != 0 {
		t.Errorf("no protocol: %v", err)
	}
	if publish.Query.Has("Action") {
		t.Error("the caller's form was changed")
	}
}

func TestWhyAServiceDoesNotAnswerIsTold(t *testing.T) {
	absent := func(call Call, code string) Call {
		call.NotFound, call.Absent = "check its name", func(e *ServiceError) bool { return e.Code == code }
		return call
	}
	for _, tc := range []struct {
		name   string
		call   Call
		status int
		header string // x-amzn-ErrorType
		body   string
		want   shuin.Code
		text   string
		hint   string
		tries  int
	}{
		{"JSON", describe, 400, "", `{"__type":"com.amazonaws.ecs#AccessDeniedException","message":"who?"}`, shuin.CodeForbidden,
			"read it: Amazon ECS answers DescribeTasks with AccessDeniedException: who? (HTTP 400, request id id-1)", "allow ecs:DescribeTasks on the task to these credentials", 1},
		{"JSON with the code in a header", getFunction, 404, "ResourceNotFoundException:http://x", `{"Message":"no function"}`, shuin.CodeNotFound, "ResourceNotFoundException: no function", "", 1},
		{"JSON with its words twice", describe, 400, "", `{"__type":"ClusterNotFoundException","message":"none","Message":"none"}`, shuin.CodeInvalidInput, "ClusterNotFoundException: none (HTTP", "", 1},
		{"JSON of a condition", putItem, 400, "", `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed","Item":{"id":{"S":"x"}}}`, shuin.CodeInvalidInput, "ConditionalCheckFailedException", "", 1},
		{"DynamoDB's throttling", putItem, 400, "", `{"__type":"x#ProvisionedThroughputExceededException","message":"slow"}`, shuin.CodeThrottled, "slow", "try again later", limits.AWSTries},
		{"XML of a query", publish, 403, "", `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>not &lt;you&gt;</Message></Error><RequestId>r-2</RequestId></ErrorResponse>`,
			shuin.CodeForbidden, "tell it: Amazon SNS answers Publish with AuthorizationError: not <you> (HTTP 403, request id id-1)", "allow sns:Publish on the topic", 1},
		{"XML of a query's bad token", publish, 403, "", `<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>bad</Message></Error></ErrorResponse>`, shuin.CodeUnauthorized, "bad", "not accepted", 1},
		{"XML of S3", getObject, 404, "", `<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>gone</Message><Key>a</Key><RequestId>r-3</RequestId></Error>`, shuin.CodeNotFound, "NoSuchKey: gone", "", 1},
		{"XML of S3 that slows down", getObject, 503, "", `<Error><Code>SlowDown</Code><Message>slow</Message></Error>`, shuin.CodeThrottled, "SlowDown", "try again later", limits.AWSTries},
		{"a bucket elsewhere", getObject, 301, "", `<Error><Code>PermanentRedirect</Code><Message>use eu-west-1</Message></Error>`, shuin.CodeInvalidInput, "PermanentRedirect: use eu-west-1", "", 1},
		{"absent by its code", absent(publish, "NotFound"), 400, "", `<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>`, shuin.CodeNotFound, "NotFound", "check its name", 1},
		{"not what is absent", absent(publish, "NotFound"), 400, "", `<ErrorResponse><Error><Code>InvalidParameter</Code></Error></ErrorResponse>`, shuin.CodeInvalidInput, "InvalidParameter", "", 1},
		{"no code at all", publish, 502, "", `Bad gateway`, shuin.CodeUnavailable, "no error code (HTTP 502", "try again", limits.AWSTries},
		{"XML that is cut", publish, 500, "", `<ErrorResponse><Error><Code>Inter`, shuin.CodeUnavailable, "Inter", "", limits.AWSTries},
		{"an empty answer", describe, 500, "", ``, shuin.CodeUnavailable, "no error code", "", limits.AWSTries},
		{"created is no answer of JSON", describe, 201, "", `{}`, shuin.CodeInvalidInput, "HTTP 201", "", 1},
		{"too long", describe, 200, "", strings.Repeat(" ", limits.AWSAnswer+1), shuin.CodeLimit, "limit AWSAnswer", "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.answer = func(out http.ResponseWriter, _ *http.Request, _ string) {
				out.Header().Set("x-amzn-RequestId", "id-1")
				if tc.header != "" {
					out.Header().Set("x-amzn-ErrorType", tc.header)
				}
				out.WriteHeader(tc.status)
				_, _ = io.WriteString(out, tc.body)
			}
			_, err := w.Ask(t.Context(), As{}, tc.call)
			if shuin.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) || !strings.Contains(shuin.HintOf(err), tc.hint) {
				t.Errorf("%s: %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			if len(w.seen) != tc.tries {
				t.Errorf("%d requests", len(w.seen))
			}
			if e, ok := errors.AsType[*ServiceError](err); ok != (tc.want != shuin.CodeLimit) || ok && string(e.Body) != tc.body {
				t.Errorf("%+v", e)
			}
		})
	}
	w := newWorld(t)
	w.says(503, `<Error><Code>SlowDown</Code></Error>`)
	once := getObject
	once.Tries = 1
	if _, err := w.Ask(t.Context(), As{}, once); shuin.CodeOf(err) != shuin.CodeThrottled || len(w.seen) != 1 {
		t.Errorf("%d requests: %v", len(w.seen), err)
	}
	large := describe
	large.Large = true
	w.says(200, strings.Repeat(" ", limits.AWSLargeAnswer))
	if got, err := w.Ask(t.Context(), As{}, large); err != nil || len(got.Body) != limits.AWSLargeAnswer {
		t.Errorf("%v", err)
	}
	w.says(200, strings.Repeat(" ", limits.AWSLargeAnswer+1))
	if _, err := w.Ask(t.Context(), As{}, large); shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "limit AWSLargeAnswer") {
		t.Errorf("%v", err)
	}
}

func TestWhereServicesAreAsked(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  map[string]string
		as   As
		call Call
		host string
		uri  string
	}{
		{"AWS's own", nil, As{}, describe, "ecs.us-west-2.amazonaws.com", "/"},
		{"another region's", nil, As{Region: "cn-north-1"}, publish, "sns.cn-north-1.amazonaws.com.cn", "/"},
		{"the call's own region", nil, As{Region: "eu-west-1"}, Call{Service: "s3", Region: "us-gov-west-1", Protocol: REST, Method: "GET", Path: "/x"}, "s3.us-gov-west-1.amazonaws.com", "/x"},
		{"FIPS", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, As{}, putItem, "dynamodb-fips.us-west-2.amazonaws.com", "/"},
		{"an endpoint for one", map[string]string{"AWS_ENDPOINT_URL_SNS": "https://sns.test:99/base/"}, As{}, publish, "sns.test:99", "/base/"},
		{"an endpoint for one, and a path", map[string]string{"AWS_ENDPOINT_URL_S3": "https://s3.test/base"}, As{}, Call{Service: "s3", ID: "S3", Protocol: REST, Method: "GET", Path: "/b/k"}, "s3.test", "/base/b/k"},
		{"an endpoint for another", map[string]string{"AWS_ENDPOINT_URL_SNS": "https://sns.test"}, As{}, describe, "ecs.us-west-2.amazonaws.com", "/"},
		{"an endpoint for all", map[string]string{"AWS_ENDPOINT_URL": "https://all.test"}, As{}, publish, "all.test", "/"},
		{"endpoints that are ignored", map[string]string{"AWS_ENDPOINT_URL": "https://all.test", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, As{}, describe, "ecs.us-west-2.amazonaws.com", "/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			for name, value := range tc.env {
				t.Setenv(name, value)
			}
			w.says(200, "")
			if _, err := w.Ask(t.Context(), tc.as, tc.call); err != nil || w.seen[0].Host != tc.host || w.seen[0].RequestURI != tc.uri {
				t.Errorf("%v: asked %v", err, w.seen)
			}
			if len(w.warned) != 0 {
				t.Errorf("%v", w.warned)
			}
		})
	}
	for _, tc := range []struct{ name, variable, value, text string }{
		{"no region", "AWS_REGION", "", "no AWS region is known"},
		{"no region's name", "AWS_REGION", "evil.test/", `"evil.test/" is no AWS region`},
		{"no address", "AWS_ENDPOINT_URL_ECS", "ecs.test", "is not of the form https://HOST"},
		{"a password", "AWS_ENDPOINT_URL_ECS", "https://me:secret-that-is-never-shown@ecs.test", "no user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			t.Setenv(tc.variable, tc.value)
			_, err := w.Ask(t.Context(), As{}, describe)
			if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "secret-that") || len(w.seen) != 0 {
				t.Errorf("%v", err)
			}
		})
	}
	w := newWorld(t)
	t.Setenv("AWS_ENDPOINT_URL_ECS", "http://ecs.test")
	w.says(200, "")
	for range 2 {
		if _, err := w.Ask(t.Context(), As{}, describe); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.warned) != 1 || !strings.Contains(w.warned[0], "Amazon ECS at ecs.test is spoken to without TLS") {
		t.Errorf("%v", w.warned)
	}
}

func TestACallEndsWithItsCaller(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	w.answer = func(out http.ResponseWriter, r *http.Request, _ string) {
		cancel(over)
		<-r.Context().Done()
	}
	_, err := w.Ask(ctx, As{}, describe)
	if shuin.CodeOf(err) != shuin.CodeDeadline || !errors.Is(err, over) {
		t.Errorf("%v", err)
	}
	w.hosts = []string{}
	if _, err := w.Ask(t.Context(), As{}, describe); shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(shuin.HintOf(err), "ecs.us-west-2.amazonaws.com does not resolve") {
		t.Errorf("%v; %s", err, shuin.HintOf(err))
	}
}

// stsAnswer is what STS answers AssumeRole with.
func stsAnswer(key, expires string) string {
	return fmt.Sprintf(`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>secret-that-x</SecretAccessKey><SessionToken>token-%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, key, key, expires)
}

func TestARoleIsAssumedOnceForAllRegions(t *testing.T) {
	w := newWorld(t)
	expires := "2100-01-01T00:00:00Z"
	w.answer = func(out http.ResponseWriter, r *http.Request, body string) {
		if !strings.HasPrefix(r.Host, "sts.") {
			return
		}
		form, _ := url.ParseQuery(body)
		_, name, _ := strings.Cut(form.Get("RoleArn"), ":role/")
		_, _ = io.WriteString(out, stsAnswer("AKID"+name+form.Get("ExternalId"), expires))
	}
	const role = "arn:aws:iam::111122223333:role/watch"
	for _, tc := range []struct {
		as   As
		key  string
		sent []string
	}{
		{As{Region: "eu-west-1", Role: role}, "AKIDwatch", []string{"sts.eu-west-1.amazonaws.com", "ecs.eu-west-1.amazonaws.com"}},
		{As{Region: "eu-west-1", Role: role}, "AKIDwatch", []string{"ecs.eu-west-1.amazonaws.com"}},
		{As{Region: "us-east-1", Role: role}, "AKIDwatch", []string{"ecs.us-east-1.amazonaws.com"}},
		{As{Region: "us-east-1", Role: role, ExternalID: "x"}, "AKIDwatchx", []string{"sts.us-east-1.amazonaws.com", "ecs.us-east-1.amazonaws.com"}},
		{As{Region: "us-east-1", Role: role + "2"}, "AKIDwatch2", []string{"sts.us-east-1.amazonaws.com", "ecs.us-east-1.amazonaws.com"}},
		{As{Region: "us-east-1"}, "AKIDEXAMPLE", []string{"ecs.us-east-1.amazonaws.com"}},
	} {
		w.seen = nil
		if _, err := w.Ask(t.Context(), tc.as, describe); err != nil {
			t.Fatal(err)
		}
		var sent []string
		for _, r := range w.seen {
			sent = append(sent, r.Host)
		}
		last := w.seen[len(w.seen)-1]
		if !slices.Equal(sent, tc.sent) || !strings.Contains(last.Header.Get("Authorization"), "Credential="+tc.key+"/") {
			t.Errorf("%+v: asked %v with %s", tc.as, sent, last.Header.Get("Authorization"))
		}
	}
	if form, _ := url.ParseQuery(w.bodies[0]); form.Get("Action") != "AssumeRole" || form.Get("RoleSessionName") != "shuin" || form.Get("DurationSeconds") != "3600" || form.Has("ExternalId") {
		t.Errorf("asked STS for %v", form)
	}
	if whose := w.Whose(t.Context(), As{Role: role}); whose != "the credentials of the role "+role {
		t.Error(whose)
	}
	// One that is about to end is not used any more.
	expires = time.Now().Add(limits.AWSRoleExpiry / 2).UTC().Format(time.RFC3339)
	for range 2 {
		w.seen = nil
		if _, err := w.Ask(t.Context(), As{Role: role + "3"}, describe); err != nil || !strings.HasPrefix(w.seen[0].Host, "sts.") {
			t.Errorf("%v: asked %s first", err, w.seen[0].Host)
		}
	}
}

func TestWhyARoleCannotBeAssumedIsTold(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/watch"
	sts := func(code string) string {
		return `<ErrorResponse><Error><Type>Sender</Type><Code>` + code + `</Code><Message>in its words</Message></Error><RequestId>r</RequestId></ErrorResponse>`
	}
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   shuin.Code
		hint   string
	}{
		{"denied", 403, sts("AccessDenied"), shuin.CodeForbidden, "allow sts:AssumeRole on " + role + " to these credentials"},
		{"bad credentials", 403, sts("InvalidClientTokenId"), shuin.CodeUnauthorized, "not accepted"},
		{"throttled", 400, sts("Throttling"), shuin.CodeThrottled, "try again"},
		{"broken", 500, sts("InternalFailure"), shuin.CodeUnavailable, "try again"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.says(tc.status, tc.body)
			_, err := w.Ask(t.Context(), As{Role: role}, describe)
			if shuin.CodeOf(err) != tc.want || !strings.Contains(err.Error(), "assume the role "+role) || !strings.Contains(err.Error(), "in its words") || !strings.Contains(shuin.HintOf(err), tc.hint) {
				t.Errorf("%s: %v; %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			if tc.want == shuin.CodeForbidden && !strings.Contains(shuin.HintOf(err), "trust policy") {
				t.Errorf("%s", shuin.HintOf(err))
			}
		})
	}
	w := newWorld(t)
	w.hosts = []string{}
	if _, err := w.Ask(t.Context(), As{Role: role}, describe); shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("no STS: %v", err)
	}
	for _, bad := range []string{"watch", "arn:aws:iam::111122223333:user/x", "arn:aws:iam::111122223333:role/a b", "arn:aws:iam::111122223333:role/*"} {
		if _, err := w.Ask(t.Context(), As{Role: bad}, describe); shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", bad, err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := newCaller(w).Ask(t.Context(), As{Role: role}, describe); shuin.CodeOf(err) != shuin.CodeUnauthorized || !strings.Contains(err.Error(), "find AWS credentials") {
		t.Errorf("no credentials: %v", err)
	}
}

// newCaller is a Caller in the same world that has loaded nothing.
func newCaller(w *world) *Caller {
	return &Caller{UserAgent: w.UserAgent, Now: w.Now, Wrap: w.Wrap, Wait: w.Wait}
}
