package awsclient

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

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
	if !t.dropped && c.Caller.Now().Before(t.cred.Until) {
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
	now := c.Caller.Now()
	if t.cred.Password == "" || !t.renewedAt.IsZero() && now.Sub(t.renewedAt) < limits.ECRTokenAgain {
		return false
	}
	t.dropped, t.renewedAt = true, now
	return true
}

// askECR asks for a token.
func (c *Client) askECR(ctx context.Context, h ECRHost, profile string) (ECRCredential, error) {
	call := awscall.Call{
		Doing: "ask Amazon ECR for a token", Title: "Amazon ECR", Service: "ecr", ID: "ECR", Region: h.Region, Host: h.api, Protocol: awscall.JSON11,
		Target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", Body: []byte("{}"),
		Action: "ecr:GetAuthorizationToken", Resource: "*",
	}
	if h.Public {
		call.Service, call.ID, call.Target = "ecr-public", "ECR PUBLIC", "SpencerFrontendService.GetAuthorizationToken"
		call.Action = "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken"
	}
	answer, err := c.Caller.Ask(ctx, awscall.As{Region: h.Region, Profile: profile}, call)
	if err != nil {
		return ECRCredential{}, err
	}
	return c.readToken(answer.Body, h.Public)
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
	now := c.Caller.Now()
	life := limits.ECRTokenUnknown
	var seconds float64
	if json.Unmarshal(got.Expires, &seconds) == nil {
		if left := time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second))).Sub(now); left > 0 {
			life = left / 2
		}
	}
	return ECRCredential{Username: user, Password: password, Until: now.Add(life)}, nil
}
