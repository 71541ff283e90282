package awsclient

import (
	"context"
	"errors"
	"net"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
)

// call is what an error is about.
type call struct {
	operation string
	action    string // IAM's; empty: signer: and the operation
	resource  string // ARN, or "*"
}

// failed gives the error of a call to AWS Signer its code and hint. ctx is the
// caller's: only its end is the caller's deadline.
func failed(ctx context.Context, q call, err error) error {
	if err == nil {
		return nil
	}
	if q.action == "" {
		q.action = "signer:" + q.operation
	}
	if q.resource == "" {
		q.resource = "*"
	}
	fail := func(code shuin.Code, hint string, err error) error {
		return &shuin.Error{Code: code, Message: "ask AWS Signer (" + q.operation + ")", Hint: hint, Err: awscall.Passed(err)}
	}
	var already *shuin.Error
	switch {
	case errors.As(err, &already):
		return err
	case ctx.Err() != nil:
		return fail(shuin.CodeDeadline, "", err)
	case awscall.TooLong(err) != nil:
		return fail(shuin.CodeLimit, "", awscall.TooLong(err))
	}
	if e, ok := isForeign(err); ok {
		return fail(shuin.CodeMalformed, "something else answers in the signer's place: check the endpoint, and what stands before it", e)
	}
	if e := awscall.SDKError("AWS Signer", q.operation, err); e != nil {
		return &shuin.Error{Code: e.Means(), Hint: e.Hint(q.action, q.resource), Err: e}
	}
	var decoding *smithy.DeserializationError
	var cut *awscall.CutError
	switch {
	case errors.As(err, &cut):
		return fail(shuin.CodeUnavailable, awscall.UnreachableHint(err), cut)
	case errors.As(err, &decoding):
		return fail(shuin.CodeMalformed, "", decoding.Err)
	case !wasSent(err):
		return fail(shuin.CodeInvalidInput, "check the AWS settings: region, endpoint, FIPS and dual-stack", awscall.Cause(err))
	}
	return fail(shuin.CodeUnavailable, awscall.UnreachableHint(err), awscall.Cause(err))
}

// wasSent: something went wrong on the way, not before.
func wasSent(err error) bool {
	var send *smithyhttp.RequestSendError
	var network net.Error
	return errors.As(err, &send) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}
