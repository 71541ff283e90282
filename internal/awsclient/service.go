package awsclient

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

// service is a client of AWS Signer for something at p, with credentials at hand.
func (c *Client) service(ctx context.Context, named Settings, p place) (*signer.Client, error) {
	if err := named.check(); err != nil {
		return nil, err
	}
	s := named.at(p)
	cfg, err := c.Caller.Config(ctx, awscall.As{Region: s.Region, Profile: s.Profile})
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
	return client, c.Caller.Credentials(ctx, cfg)
}

// checkFound is check for an endpoint wherever it was found.
func checkFound(endpoint string) error {
	if err := awscall.CheckEndpoint(endpoint); err != nil {
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
	if awscall.OnlyOneName(u.Hostname()) {
		o.APIOptions = append(o.APIOptions, hostPrefix(""))
	}
	if u.Scheme == "http" && !awscall.Loopback(u.Hostname()) {
		c.Caller.Warnf("the signer at %s is spoken to without TLS: whoever is on the way can read requests and hide revocations", u.Host)
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
