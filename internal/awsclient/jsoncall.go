package awsclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// The SDK's clients of ECR and ECS are left out: one or two operations are all
// that is needed of them, and their tables alone take longer to set up at the
// start of every command than the rest of this program.

// jsonCall is one call of an API that speaks AWS JSON 1.1.
type jsonCall struct {
	doing    string // what is being done, for errors
	title    string // of the service, for texts
	service  string // as the signature names it
	id       string // as configured endpoints name it ("ECR PUBLIC")
	region   string
	host     string // AWS's own
	target   string // X-Amz-Target: the API's name and version, and the operation
	body     []byte
	action   string // IAM's
	resource string // that it is needed on
	notFound string // hint where there is no such thing
}

// operation is the last part of the target.
func (q jsonCall) operation() string { return q.target[strings.LastIndexByte(q.target, '.')+1:] }

// ask sends the call, again where that may help. The error is a *shuin.Error.
func (c *Client) ask(ctx context.Context, cfg aws.Config, q jsonCall) ([]byte, error) {
	if err := c.credentials(ctx, cfg); err != nil {
		return nil, err
	}
	endpoint, err := endpointOf(ctx, cfg, q)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	for try := 1; ; try++ {
		data, err := c.send(limited, cfg, q, endpoint)
		if err == nil {
			return data, nil
		}
		if try == limits.AWSTries || !passing(err) || !pause(limited, try) {
			return nil, q.failed(ctx, err)
		}
	}
}

// endpointOf is where the call goes: the address that the environment or the
// shared configuration gives, else AWS's.
func endpointOf(ctx context.Context, cfg aws.Config, q jsonCall) (string, error) {
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok {
			if ignore, found, err := s.GetIgnoreConfiguredEndpoints(ctx); err == nil && found && ignore {
				return "https://" + q.host, nil
			}
		}
	}
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok {
			if value, found, err := s.GetServiceBaseEndpoint(ctx, q.id); err == nil && found {
				return value, Settings{Endpoint: value}.check()
			}
		}
	}
	if value := aws.ToString(cfg.BaseEndpoint); value != "" {
		return value, Settings{Endpoint: value}.check()
	}
	return "https://" + q.host, nil
}

// send sends one signed request.
func (c *Client) send(ctx context.Context, cfg aws.Config, q jsonCall, endpoint string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", q.target)
	req.Header.Set("User-Agent", c.UserAgent)
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, noCredentials(err)
	}
	sum := sha256.Sum256(q.body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), q.service, q.region, c.Now()); err != nil {
		return nil, err
	}
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, q.refusal(resp, data)
	}
	return data, nil
}

// refusal reads an error answer.
func (q jsonCall) refusal(resp *http.Response, data []byte) error {
	e := &ServiceError{
		Service: q.title, Operation: q.operation(), Status: resp.StatusCode,
		RequestID: printable(resp.Header.Get("x-amzn-RequestId"), 100),
	}
	var body struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	_ = json.Unmarshal(data, &body, json.RejectUnknownMembers(false), jsontext.AllowDuplicateNames(true)) // what is no JSON has no code
	code := resp.Header.Get("x-amzn-ErrorType")
	if code == "" {
		code = body.Type
	}
	code, _, _ = strings.Cut(code, ":")
	if _, after, ok := strings.Cut(code, "#"); ok {
		code = after
	}
	if code == "" {
		code = "no error code"
	}
	e.Code, e.Message = printable(code, 200), printable(body.Message+body.Upper, limits.AWSErrorRunes)
	return e
}

// failed gives the error of a call its code and hint. ctx is the caller's:
// only its end is the caller's deadline.
func (q jsonCall) failed(ctx context.Context, err error) error {
	var already *shuin.Error
	var service *ServiceError
	switch {
	case errors.As(err, &already):
		return err
	case ctx.Err() != nil:
		return &shuin.Error{Code: shuin.CodeDeadline, Message: q.doing, Err: context.Cause(ctx)}
	case errors.As(err, &service):
		hint := service.hint(q.action, q.resource)
		if service.code() == shuin.CodeNotFound && q.notFound != "" {
			hint = q.notFound
		}
		return &shuin.Error{Code: service.code(), Message: q.doing, Hint: hint, Err: service}
	case errors.Is(err, errTooLong):
		return &shuin.Error{Code: shuin.CodeLimit, Message: q.doing, Err: errTooLong}
	}
	return &shuin.Error{Code: shuin.CodeUnavailable, Message: q.doing, Hint: unreachableHint(err), Err: fmt.Errorf("%w", passed(err))}
}

// passing: another try may succeed.
func passing(err error) bool {
	var service *ServiceError
	if errors.As(err, &service) {
		code := service.code()
		return code == shuin.CodeThrottled || code == shuin.CodeUnavailable
	}
	var known *shuin.Error
	return !errors.As(err, &known) && !errors.Is(err, errTooLong) && !nameless(err)
}

// pause waits before the next try, within ctx's deadline.
func pause(ctx context.Context, try int) bool {
	wait := (200 * time.Millisecond) << try
	wait += rand.N(wait / 2)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
