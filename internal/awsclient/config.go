package awsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// configKey is what a configuration is loaded by.
type configKey struct{ profile, region string }

// loading is one configuration, loaded by whoever comes first.
type loading struct {
	once sync.Once
	cfg  aws.Config
	err  error
}

// config is the AWS configuration as AWS's tools find it: environment, shared
// files, web identity, SSO, container and instance credentials. Loaded once
// for a profile and region; a failure is not kept.
func (c *Client) config(ctx context.Context, s Settings) (aws.Config, error) {
	key := configKey{s.Profile, s.Region}
	c.mu.Lock()
	if c.configs == nil {
		c.configs = map[configKey]*loading{}
	}
	l := c.configs[key]
	if l == nil {
		l = &loading{}
		c.configs[key] = l
	}
	c.mu.Unlock()
	l.once.Do(func() { l.cfg, l.err = c.load(ctx, s) })
	if l.err == nil {
		return l.cfg, nil
	}
	c.mu.Lock()
	if c.configs[key] == l {
		delete(c.configs, key)
	}
	c.mu.Unlock()
	return aws.Config{}, l.err
}

func (c *Client) load(ctx context.Context, s Settings) (aws.Config, error) {
	base := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = limits.AWSAttemptTime
		t.MaxResponseHeaderBytes = limits.RegistryHeaderBytes
	}).WithTimeout(limits.AWSAttemptTime)
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(base),
		config.WithAPIOptions([]func(*middleware.Stack) error{c.agent()}),
	}
	if s.Region != "" {
		options = append(options, config.WithRegion(s.Region))
	}
	if s.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "read the AWS configuration", Err: err,
			Hint: "check AWS_PROFILE, AWS_CONFIG_FILE and what they name",
		}
	}
	cfg.HTTPClient = c.transport(cfg.HTTPClient)
	return cfg, nil
}

// agent names the program beside the SDK.
func (c *Client) agent() func(*middleware.Stack) error {
	name, version, ok := strings.Cut(c.UserAgent, "/")
	switch {
	case name == "":
		name, version = "shuin", "unknown"
	case !ok:
		version = "unknown"
	}
	return awsmiddleware.AddUserAgentKeyValue(name, version)
}

// transport bounds answers, follows no redirect, and lets Wrap look on.
func (c *Client) transport(found aws.HTTPClient) aws.HTTPClient {
	var rt http.RoundTripper = http.DefaultTransport
	if b, ok := found.(*awshttp.BuildableClient); ok { // with the CA bundle that the configuration names
		rt = b.GetTransport()
	}
	if c.Wrap != nil {
		rt = c.Wrap(rt)
	}
	return &http.Client{
		Transport: bounded{rt}, Timeout: limits.AWSAttemptTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers at limits.AWSAnswer.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(req)
	if resp != nil {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: limits.AWSAnswer}
	}
	return resp, err
}

// errTooLong is an answer beyond limits.AWSAnswer.
var errTooLong = fmt.Errorf("the answer has more than %d bytes (limit AWSAnswer)", limits.AWSAnswer)

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	if err != nil && err != io.EOF {
		err = &cutError{err}
	}
	return n, err
}

// cutError is an answer that could not be read to its end: without it, a
// connection that was cut could not be told from JSON that was.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the answer broke off: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

// service is a client of AWS Signer for something at p, with credentials at hand.
func (c *Client) service(ctx context.Context, named Settings, p place) (*signer.Client, error) {
	if err := named.check(); err != nil {
		return nil, err
	}
	s := named.at(p)
	cfg, err := c.config(ctx, s)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		return nil, &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "no AWS region is known",
			Hint: "give --region, set AWS_REGION, or name the profile by its whole ARN",
		}
	}
	var bad error
	client := signer.NewFromConfig(cfg, func(o *signer.Options) {
		if s.Endpoint != "" {
			o.BaseEndpoint = aws.String(s.Endpoint)
		}
		if o.BaseEndpoint == nil {
			bad = named.checkPlace(p)
		} else if bad = checkFound(*o.BaseEndpoint); bad == nil {
			c.onEndpoint(o)
		}
		if c.NoHostPrefix {
			o.APIOptions = append(o.APIOptions, hostPrefix(""))
		}
	})
	if bad != nil {
		return nil, bad
	}
	return client, c.credentials(ctx, cfg)
}

// checkFound is check for an endpoint wherever it was found.
func checkFound(endpoint string) error {
	if err := (Settings{Endpoint: endpoint}).check(); err != nil {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "read the signer's endpoint", Err: err,
			Hint: "check --endpoint-url, " + ConfigEndpoint + ", AWS_ENDPOINT_URL_SIGNER, AWS_ENDPOINT_URL, and endpoint_url in the AWS configuration file",
		}
	}
	return nil
}

// onEndpoint settles the host names of an endpoint that is not AWS's own.
func (c *Client) onEndpoint(o *signer.Options) {
	u, err := url.Parse(*o.BaseEndpoint)
	if err != nil {
		return // the SDK says so
	}
	if onlyOneName(u.Hostname()) {
		o.APIOptions = append(o.APIOptions, hostPrefix(""))
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		c.warnf("the signer at %s is spoken to without TLS: whoever is on the way can read requests and hide revocations", u.Host)
	}
}

// hostPrefix puts prefix before the endpoint's host in place of the API
// model's own.
func hostPrefix(prefix string) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("shuinNoHostPrefix",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
			}), middleware.Before); err != nil || prefix == "" {
			return err
		}
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("shuinHostPrefix",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				if req, ok := in.Request.(*smithyhttp.Request); ok && !strings.HasPrefix(req.URL.Host, prefix) {
					req.URL.Host = prefix + req.URL.Host
				}
				return next.HandleFinalize(ctx, in)
			}), "ResolveEndpointV2", middleware.After)
	}
}

// credentials makes sure that there are some: what the SDK says where there
// are none is told as such, and not as a failed request.
func (c *Client) credentials(ctx context.Context, cfg aws.Config) error {
	if cfg.Credentials == nil {
		return noCredentials(nil)
	}
	limited, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	creds, err := cfg.Credentials.Retrieve(limited)
	switch {
	case ctx.Err() != nil:
		return &shuin.Error{Code: shuin.CodeDeadline, Message: "find AWS credentials", Err: context.Cause(ctx)}
	case err != nil:
		return noCredentials(err)
	case !creds.HasKeys():
		return noCredentials(errors.New("they are empty"))
	}
	return nil
}

func noCredentials(err error) error {
	if err == nil {
		err = errors.New("none are configured")
	}
	return &shuin.Error{
		Code: shuin.CodeUnauthorized, Message: "find AWS credentials", Err: passed(err),
		Hint: "give them as for any AWS tool: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, \"aws sso login\", or a role of the machine, task or CI job",
	}
}
