package timestamp

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/notaryproject/tspclient-go"
)

// This is the one file here that uses tspclient-go.

// query is a timestamp query and what is needed to check its answer.
type query struct {
	req *tspclient.Request
	der []byte
}

// newQuery asks for a token over content with its certificates; the nonce
// comes from crypto/rand.
func newQuery(content []byte, hash crypto.Hash) (*query, error) {
	req, err := tspclient.NewRequest(tspclient.RequestOptions{Content: content, HashAlgorithm: hash})
	if err != nil {
		return nil, err
	}
	der, err := req.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return &query{req, der}, nil
}

// token takes the token out of an answer whose status, policy, imprint, nonce
// and certificates fit the query (RFC 3161, section 2.4.2).
func (q *query) token(body []byte) (token []byte, err error) {
	// The answer is a stranger's and the library slowly kept: a panic in it
	// must not become ours.
	defer func() {
		if p := recover(); p != nil {
			token, err = nil, fmt.Errorf("malformed timestamp response: %v", p)
		}
	}()
	var resp tspclient.Response
	if err := resp.UnmarshalBinary(body); err != nil {
		return nil, err
	}
	if err := resp.Validate(q.req); err != nil {
		return nil, err
	}
	if len(resp.TimestampToken.FullBytes) == 0 {
		return nil, errors.New("timestamp response holds no token")
	}
	return resp.TimestampToken.FullBytes, nil
}
