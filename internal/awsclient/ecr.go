package awsclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// The SDK's clients of ECR are left out: GetAuthorizationToken is all that is
// needed of them, and their tables alone take longer to set up at the start of
// every command than the rest of this program.

// ECRCredential is a user name and password for a registry of ECR.
type ECRCredential struct {
	Username, Password string
	// Until is when to ask for a new one: half of its life is over then.
	Until time.Time
}

// ecrKey is what a token is good for: every registry of the region that the
// principal may reach. The principal is the AWS profile whose credentials are
// used, for their keys change by the hour where a role is assumed.
type ecrKey struct {
	partition, region, api, profile string
}

type ecrToken struct {
	mu        sync.Mutex
	cred      ECRCredential
	dropped   bool
	renewedAt time.Time
}

func (c *Client) ecrToken(h ECRHost, profile string) *ecrToken {
	key := ecrKey{h.Partition(), h.Region, h.api, profile}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens == nil {
		c.tokens = map[ecrKey]*ecrToken{}
	}
	t := c.tokens[key]
	if t == nil {
		t = &ecrToken{}
		c.tokens[key] = t
	}
	return t
}

// ECRCredential is a token for a registry, kept until half of its life is over.
// profile is of AWS's shared configuration; empty: the environment's.
func (c *Client) ECRCredential(ctx context.Context, h ECRHost, profile string) (ECRCredential, error) {
	t := c.ecrToken(h, profile)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.dropped && c.Now().Before(t.cred.Until) {
		return t.cred, nil
	}
	cred, err := c.askECR(ctx, h, profile)
	if err != nil {
		return ECRCredential{}, err
	}
	t.cred, t.dropped = cred, false
	return cred, nil
}

// DropECRCredential forgets the token for a registry that refused it, and says
// whether a new one may be asked for: once in limits.ECRTokenAgain, for most
// refusals are no fault of the token.
func (c *Client) DropECRCredential(h ECRHost, profile string) bool {
	t := c.ecrToken(h, profile)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := c.Now()
	if t.cred.Password == "" || !t.renewedAt.IsZero() && now.Sub(t.renewedAt) < limits.ECRTokenAgain {
		return false
	}
	t.dropped, t.renewedAt = true, now
	return true
}

// askECR asks for a token.
func (c *Client) askECR(ctx context.Context, h ECRHost, profile string) (ECRCredential, error) {
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	cfg, err := c.config(limited, Settings{Region: h.Region, Profile: profile})
	if err != nil {
		return ECRCredential{}, err
	}
	if err := c.credentials(limited, cfg); err != nil {
		return ECRCredential{}, err
	}
	endpoint, err := ecrEndpoint(limited, cfg, h)
	if err != nil {
		return ECRCredential{}, err
	}
	for try := 1; ; try++ {
		cred, err := c.tryECR(limited, cfg, h, endpoint)
		if err == nil || try == limits.AWSTries || !passing(err) || !pause(limited, try) {
			return cred, c.ecrFailed(ctx, h, err)
		}
	}
}

// ecrEndpoint is where tokens are asked for: the address that the environment
// or the shared configuration gives, else AWS's.
func ecrEndpoint(ctx context.Context, cfg aws.Config, h ECRHost) (string, error) {
	service := "ECR"
	if h.Public {
		service = "ECR PUBLIC"
	}
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok {
			if ignore, found, err := s.GetIgnoreConfiguredEndpoints(ctx); err == nil && found && ignore {
				return "https://" + h.api, nil
			}
		}
	}
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
		}); ok {
			if value, found, err := s.GetServiceBaseEndpoint(ctx, service); err == nil && found {
				return value, Settings{Endpoint: value}.check()
			}
		}
	}
	if value := aws.ToString(cfg.BaseEndpoint); value != "" {
		return value, Settings{Endpoint: value}.check()
	}
	return "https://" + h.api, nil
}

// tryECR sends one signed request (AWS JSON 1.1).
func (c *Client) tryECR(ctx context.Context, cfg aws.Config, h ECRHost, endpoint string) (ECRCredential, error) {
	service, target := "ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
	if h.Public {
		service, target = "ecr-public", "SpencerFrontendService.GetAuthorizationToken"
	}
	body := []byte("{}")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return ECRCredential{}, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("User-Agent", c.UserAgent)
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return ECRCredential{}, noCredentials(err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), service, h.Region, c.Now()); err != nil {
		return ECRCredential{}, err
	}
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return ECRCredential{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return ECRCredential{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return ECRCredential{}, ecrRefusal(resp, data)
	}
	return c.readToken(data, h.Public)
}

// ecrRefusal reads an error answer of AWS JSON 1.1.
func ecrRefusal(resp *http.Response, data []byte) error {
	e := &ServiceError{
		Service: "Amazon ECR", Operation: "GetAuthorizationToken", Status: resp.StatusCode,
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

type ecrAuthorization struct {
	Token   string         `json:"authorizationToken"`
	Expires jsontext.Value `json:"expiresAt"`
}

// readToken reads a token and how long it is good.
func (c *Client) readToken(data []byte, public bool) (ECRCredential, error) {
	var got ecrAuthorization
	var err error
	if public {
		var body struct {
			Data ecrAuthorization `json:"authorizationData"`
		}
		err = json.Unmarshal(data, &body)
		got = body.Data
	} else {
		var body struct {
			Data []ecrAuthorization `json:"authorizationData"`
		}
		if err = json.Unmarshal(data, &body); err == nil && len(body.Data) > 0 {
			got = body.Data[0]
		}
	}
	malformed := func(what string) error {
		return &shuin.Error{Code: shuin.CodeMalformed, Message: "ask Amazon ECR for a token: " + what}
	}
	if err != nil {
		return ECRCredential{}, malformed("the answer is not what the API says") // and is not quoted: it holds a secret
	}
	pair, err := base64.StdEncoding.DecodeString(got.Token)
	user, password, ok := strings.Cut(string(pair), ":")
	if err != nil || !ok || password == "" {
		return ECRCredential{}, malformed("the answer holds no token")
	}
	now := c.Now()
	life := limits.ECRTokenUnknown
	var seconds float64
	if json.Unmarshal(got.Expires, &seconds) == nil {
		if left := time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second))).Sub(now); left > 0 {
			life = left / 2
		}
	}
	return ECRCredential{Username: user, Password: password, Until: now.Add(life)}, nil
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

func (c *Client) ecrFailed(ctx context.Context, h ECRHost, err error) error {
	if err == nil {
		return nil
	}
	const message = "ask Amazon ECR for a token"
	var already *shuin.Error
	var service *ServiceError
	switch {
	case errors.As(err, &already):
		return err
	case ctx.Err() != nil:
		return &shuin.Error{Code: shuin.CodeDeadline, Message: message, Err: context.Cause(ctx)}
	case errors.As(err, &service):
		action, resource := "ecr:GetAuthorizationToken", "*"
		if h.Public {
			action = "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken"
		}
		return &shuin.Error{Code: service.code(), Message: message, Hint: service.hint(action, resource), Err: service}
	case errors.Is(err, errTooLong):
		return &shuin.Error{Code: shuin.CodeLimit, Message: message, Err: errTooLong}
	}
	return &shuin.Error{Code: shuin.CodeUnavailable, Message: message, Hint: unreachableHint(err), Err: fmt.Errorf("%w", passed(err))}
}
