package awsclient

import (
	"context"
	"time"
)

// RegistryToken satisfies internal/registry's Tokens: a token of ECR for the
// registry at host, by the environment's AWS credentials. ok is false where
// host is no registry of ECR, or is the public one and pushes is false: that
// one is read by everybody.
func (c *Client) RegistryToken(ctx context.Context, host string, pushes bool) (username, password string, until time.Time, ok bool, err error) {
	h, ecr := ParseECRHost(host)
	if !ecr || h.Public && !pushes {
		return "", "", time.Time{}, false, nil
	}
	token, err := c.ECRCredential(ctx, h, "")
	if err != nil {
		return "", "", time.Time{}, true, err
	}
	return token.Username, token.Password, token.Until, true, nil
}

// DropRegistryToken satisfies internal/registry's Tokens; see
// DropECRCredential.
func (c *Client) DropRegistryToken(host string) bool {
	h, ecr := ParseECRHost(host)
	return ecr && c.DropECRCredential(h, "")
}
