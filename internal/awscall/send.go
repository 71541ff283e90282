package awscall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// send sends one signed request.
func (c *Caller) send(ctx context.Context, cfg aws.Config, q Call, endpoint string) (Answer, error) {
	req, body, err := q.request(ctx, endpoint)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("User-Agent", c.UserAgent)
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return Answer{}, noCredentials(err)
	}
	if err := q.sign(ctx, creds, req, body, c); err != nil {
		return Answer{}, err
	}
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	if resp.StatusCode != http.StatusOK && (q.Protocol != REST || resp.StatusCode >= 300 || resp.StatusCode < 200) {
		return Answer{}, q.refusal(resp, data, creds)
	}
	return Answer{Body: data, Header: resp.Header}, nil
}

// request builds the request, not signed, and gives its body once more.
func (q Call) request(ctx context.Context, endpoint string) (*http.Request, []byte, error) {
	if q.Large {
		ctx = context.WithValue(ctx, largeKey{}, true)
	}
	base := strings.TrimSuffix(endpoint, "/")
	method, body, contentType := http.MethodPost, q.Body, ""
	address := base + "/"
	switch q.Protocol {
	case JSON11:
		contentType = "application/x-amz-json-1.1"
	case JSON10:
		contentType = "application/x-amz-json-1.0"
	case Query:
		form := maps.Clone(q.Query)
		if form == nil {
			form = url.Values{}
		}
		form.Set("Action", q.Operation())
		contentType, body = "application/x-www-form-urlencoded; charset=utf-8", []byte(form.Encode())
	case REST:
		method, address = q.Method, base+escapePath(q.Path)
		if len(q.Query) > 0 {
			address += "?" + strings.ReplaceAll(q.Query.Encode(), "+", "%20")
		}
	default:
		return nil, nil, invalidf("%s: the call names no protocol", q.Doing)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for name, values := range q.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if q.Protocol == JSON11 || q.Protocol == JSON10 {
		req.Header.Set("X-Amz-Target", q.Target)
	}
	return req, body, nil
}

// sign signs the request. S3 wants the body's hash in a header, and its path
// escaped once, where all others sign it escaped twice.
func (q Call) sign(ctx context.Context, creds aws.Credentials, req *http.Request, body []byte, c *Caller) error {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	s3 := q.Service == "s3"
	if s3 {
		req.Header.Set("X-Amz-Content-Sha256", hash)
	}
	return v4.NewSigner().SignHTTP(ctx, creds, req, hash, q.Service, q.Region, c.Now(), func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = s3
	})
}

// escapePath escapes all but RFC 3986's unreserved characters and "/", as
// signatures have it.
func escapePath(path string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		ch := path[i]
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', strings.IndexByte("-._~/", ch) >= 0:
			b.WriteByte(ch)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[ch>>4])
			b.WriteByte(hexDigits[ch&15])
		}
	}
	return b.String()
}
