// Package timestamp gets RFC 3161 countersignatures from a timestamping
// authority that the user named. It asks once, checks the answer against the
// request and the token against the roots, and returns the token.
//
// It does not retry, does not choose an authority, does not check revocation
// of the authority's certificates, and decides nothing about the signature.
package timestamp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net/url"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/sign"
)

// Media types of RFC 3161, section 3.4.
const (
	mediaTypeQuery = "application/timestamp-query"
	mediaTypeReply = "application/timestamp-reply"
)

// Client asks one authority; it satisfies sign.Timestamper. Safe for
// concurrent use.
type Client struct {
	// URL is the authority's address, http or https.
	URL string
	// RootCerts are what the token's chain must end in; at least one.
	RootCerts []*x509.Certificate
	// HTTP sends the request; nil means a client without proxy that also
	// reaches private addresses, since the user typed this one.
	HTTP *fetch.Client
}

var _ sign.Timestamper = (*Client)(nil)

var defaultHTTP = &fetch.Client{AllowPrivateAddresses: true}

// Roots are the certificates the token's chain must end in.
func (c *Client) Roots() []*x509.Certificate { return c.RootCerts }

// Timestamp returns a DER TimeStampToken over signature, hashed with the hash
// of a; the request asks for certificates and carries a nonce (TSA-01). The
// answer's status, nonce and imprint, the token's signature, its certificates
// and their way to one of RootCerts are checked (TSA-03). Any failure is a
// [*shuin.Error]: CodeUnavailable or CodeDeadline where no answer came, else
// CodeMalformed or what envelope.ParseTimestamp found.
func (c *Client) Timestamp(ctx context.Context, signature []byte, a envelope.Algorithm) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "timestamp", Err: err}
	}
	q, err := newQuery(signature, a.Hash())
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "make timestamp query", Err: err}
	}
	body, err := c.post(ctx, q.der)
	if err != nil {
		return nil, err
	}
	token, err := q.token(body)
	if err != nil {
		return nil, c.malformed(err)
	}
	if _, err := envelope.ParseTimestamp(token, signature, c.RootCerts); err != nil {
		return nil, &shuin.Error{Code: shuin.CodeOf(err), Message: "timestamp of " + fetch.Redact(c.URL), Hint: hintRoots, Err: err}
	}
	return token, nil
}

const hintRoots = "name the root certificate of this timestamping authority, or another authority"

func (c *Client) check() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q is not an http or https address", fetch.Redact(c.URL))
	}
	if len(c.RootCerts) == 0 {
		return errors.New("no root certificates to check the timestamping authority against")
	}
	return nil
}

func (c *Client) post(ctx context.Context, query []byte) ([]byte, error) {
	client := c.HTTP
	if client == nil {
		client = defaultHTTP
	}
	resp, err := client.Do(ctx, fetch.Request{
		URL: c.URL, Body: query, ContentType: mediaTypeQuery, Accept: mediaTypeReply,
		MaxBytes: limits.TSAResponse, Timeout: limits.TSATimeout, AllowUserInfo: true,
	})
	if err != nil {
		return nil, &shuin.Error{Code: unreachable(ctx, err), Message: fmt.Sprintf("Post %q", fetch.Redact(c.URL)), Hint: "try again, or name another timestamping authority", Err: err}
	}
	if mt, _, err := mime.ParseMediaType(resp.ContentType); err != nil || mt != mediaTypeReply {
		return nil, c.malformed(fmt.Errorf("the answer is of type %q, want %q", resp.ContentType, mediaTypeReply))
	}
	return resp.Body, nil
}

// unreachable is the code for a request that brought no whole answer.
func unreachable(ctx context.Context, err error) shuin.Code {
	var known *shuin.Error
	switch {
	case errors.As(err, &known):
		return known.Code // a limit
	case errors.Is(err, fetch.ErrPrivateAddress):
		return shuin.CodeInvalidInput
	case ctx.Err() != nil:
		return shuin.CodeDeadline
	}
	return shuin.CodeUnavailable
}

func (c *Client) malformed(err error) error {
	return &shuin.Error{Code: shuin.CodeMalformed, Message: "answer of timestamping authority " + fetch.Redact(c.URL), Hint: "name another timestamping authority", Err: err}
}
