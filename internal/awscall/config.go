package awscall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/middleware"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// loading is one configuration, loaded by whoever comes first.
type loading struct {
	once sync.Once
	cfg  aws.Config
	err  error
}

// Config is the AWS configuration as AWS's tools find it: environment, shared
// files, web identity, SSO, container and instance credentials; then the role,
// where one is named. Loaded once for each As; a failure is not kept. Nothing
// is asked of STS before credentials are needed.
func (c *Caller) Config(ctx context.Context, as As) (aws.Config, error) {
	c.mu.Lock()
	if c.configs == nil || len(c.configs) >= limits.AWSConfigs {
		c.configs = map[As]*loading{}
	}
	l := c.configs[as]
	if l == nil {
		l = &loading{}
		c.configs[as] = l
	}
	c.mu.Unlock()
	l.once.Do(func() { l.cfg, l.err = c.load(ctx, as) })
	if l.err == nil {
		return l.cfg, nil
	}
	c.mu.Lock()
	if c.configs[as] == l {
		delete(c.configs, as)
	}
	c.mu.Unlock()
	return aws.Config{}, l.err
}

func (c *Caller) load(ctx context.Context, as As) (aws.Config, error) {
	if as.Role != "" {
		return c.assume(ctx, as)
	}
	base := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = limits.AWSAttemptTime
		t.MaxResponseHeaderBytes = limits.RegistryHeaderBytes
	}).WithTimeout(limits.AWSAttemptTime)
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(base),
		config.WithAPIOptions([]func(*middleware.Stack) error{c.agent()}),
	}
	if as.Region != "" {
		options = append(options, config.WithRegion(as.Region))
	}
	if as.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(as.Profile))
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

// Region is where calls go whose own region is not said: as.Region, or that of
// the AWS environment. None, or one that is none, is shuin.CodeInvalidInput.
func (c *Caller) Region(ctx context.Context, as As) (string, error) {
	cfg, err := c.Config(ctx, as)
	if err != nil {
		return "", err
	}
	if !validRegion(cfg.Region) {
		return "", noRegion(cfg.Region)
	}
	return cfg.Region, nil
}

// Check makes sure that there are a region and credentials, without a call to
// the service: what a role needs of STS is asked.
func (c *Caller) Check(ctx context.Context, as As) error {
	if _, err := c.Region(ctx, as); err != nil {
		return err
	}
	cfg, err := c.Config(ctx, as)
	if err != nil {
		return err
	}
	return c.Credentials(ctx, cfg)
}

// Whose says in words whose credentials as are, for errors.
func (c *Caller) Whose(ctx context.Context, as As) string {
	switch {
	case as.Role != "":
		return "the credentials of the role " + Printable(as.Role, 300)
	case as.Profile != "":
		return "the credentials of the AWS profile " + Printable(as.Profile, 100)
	}
	if cfg, err := c.Config(ctx, as); err == nil && cfg.Credentials != nil {
		if creds, err := cfg.Credentials.Retrieve(ctx); err == nil && creds.Source != "" {
			return "the AWS credentials in use (" + Printable(creds.Source, 200) + ")"
		}
	}
	return "the AWS credentials in use"
}

// agent names the program beside the SDK.
func (c *Caller) agent() func(*middleware.Stack) error {
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
func (c *Caller) transport(found aws.HTTPClient) aws.HTTPClient {
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

// largeKey marks the context of a request whose answer may be large.
type largeKey struct{}

// plainBody hides that a body of the SDK can write itself. The SDK closes it
// when the answer begins; the body then says io.EOF where it should say that
// nothing is left, net/http, if it had not yet looked whether there is more,
// takes that for a failure, and cuts the connection while the answer is read
// (smithy-go 1.28.8, safeWriteToReadCloser.WriteTo).
type plainBody struct{ io.ReadCloser }

// bounded cuts answers at limits.AWSAnswer, or limits.AWSLargeAnswer.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		req = req.WithContext(req.Context()) // a round trip changes no request
		req.Body = plainBody{req.Body}
	}
	resp, err := b.base.RoundTrip(req)
	if resp != nil {
		body := &boundedBody{ReadCloser: resp.Body, left: limits.AWSAnswer, tooLong: errTooLong}
		if large, _ := req.Context().Value(largeKey{}).(bool); large {
			body.left, body.tooLong = limits.AWSLargeAnswer, errTooLongLarge
		}
		resp.Body = body
	}
	return resp, err
}

// tooLongError is an answer beyond its bound.
type tooLongError struct {
	bytes int
	limit string
}

func (e *tooLongError) Error() string {
	return fmt.Sprintf("the answer has more than %d bytes (limit %s)", e.bytes, e.limit)
}

var (
	errTooLong      = &tooLongError{limits.AWSAnswer, "AWSAnswer"}
	errTooLongLarge = &tooLongError{limits.AWSLargeAnswer, "AWSLargeAnswer"}
)

// TooLong finds in err's tree that an answer was longer than it may be; nil:
// it was not.
func TooLong(err error) error {
	if e, ok := errors.AsType[*tooLongError](err); ok {
		return e
	}
	return nil
}

type boundedBody struct {
	io.ReadCloser
	left    int
	tooLong error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, b.tooLong
	}
	if err != nil && err != io.EOF {
		err = &CutError{err}
	}
	return n, err
}

// CutError is an answer that could not be read to its end: without it, a
// connection that was cut could not be told from JSON that was.
type CutError struct{ Err error }

func (e *CutError) Error() string { return "the answer broke off: " + e.Err.Error() }
func (e *CutError) Unwrap() error { return e.Err }

// Credentials makes sure that there are some: what the SDK says where there
// are none is told as such, and not as a failed request.
func (c *Caller) Credentials(ctx context.Context, cfg aws.Config) error {
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
	var already *shuin.Error
	if errors.As(err, &already) {
		return already // of a role
	}
	if err == nil {
		err = errors.New("none are configured")
	}
	return &shuin.Error{
		Code: shuin.CodeUnauthorized, Message: "find AWS credentials", Err: Passed(err),
		Hint: "give them as for any AWS tool: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, \"aws sso login\", or a role of the machine, task or CI job",
	}
}
