package awsclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shuin/shuin/internal/awscall"
)

// foreignError is an answer that says 200 and is not the API's: of a load
// balancer, a portal, a proxy, or nothing at all. The SDK takes most of those
// for "nothing is revoked".
type foreignError struct{ why string }

func (e *foreignError) Error() string {
	return "what answers is no revocation status: " + e.why
}

// strictStatus looks at an answer to GetRevocationStatus before the SDK does.
func strictStatus(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("shuinStrictStatus",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			resp, ok := out.RawResponse.(*smithyhttp.Response)
			if err != nil || !ok || resp.StatusCode >= 300 {
				return out, metadata, err // errors are the SDK's to read
			}
			body, err := io.ReadAll(resp.Body) // bounded: see boundedBody
			if err == nil {
				err = checkStatusAnswer(resp.StatusCode, resp.Header, body)
			}
			if err != nil {
				return out, metadata, &smithy.DeserializationError{Err: err}
			}
			resp.Body = struct {
				io.Reader
				io.Closer
			}{bytes.NewReader(body), resp.Body}
			return out, metadata, nil
		}), middleware.After)
}

// jsonTypes are the media types of AWS's JSON protocols.
var jsonTypes = []string{"application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1"}

func checkStatusAnswer(status int, header http.Header, body []byte) error {
	if status != http.StatusOK {
		return &foreignError{fmt.Sprintf("its status is HTTP %d, not 200", status)}
	}
	if t, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || !slices.Contains(jsonTypes, t) {
		return &foreignError{fmt.Sprintf("its media type is %q, not application/json", awscall.Printable(header.Get("Content-Type"), 100))}
	}
	return checkStatusBody(body, header.Get("X-Amzn-Requestid") != "")
}

// checkStatusBody holds an answer against the API's: one JSON object, whose
// revokedEntities is a list of texts. It is not known whether AWS ever leaves
// out an empty list: the member may be missing where the answer is AWS's own
// by its request id, and the object has nothing else to say.
func checkStatusBody(body []byte, requestID bool) error {
	const member = "revokedEntities"
	var members map[string]jsontext.Value
	if err := json.Unmarshal(body, &members); err != nil {
		return &foreignError{"it is not one JSON object: " + err.Error()}
	}
	if members == nil {
		return &foreignError{"it is null, not a JSON object"}
	}
	for name := range members {
		if name != member && strings.EqualFold(name, member) {
			return &foreignError{fmt.Sprintf("it has %q, not %q", name, member)}
		}
	}
	list, ok := members[member]
	switch {
	case !ok && requestID && len(members) == 0:
		return nil
	case !ok:
		return &foreignError{fmt.Sprintf("it has no %q", member)}
	}
	var entries []*string
	if err := json.Unmarshal(list, &entries); err != nil || entries == nil || slices.Contains(entries, nil) {
		return &foreignError{fmt.Sprintf("its %q is not a list of texts", member)}
	}
	return nil
}

// isForeign finds a foreignError.
func isForeign(err error) (*foreignError, bool) {
	return errors.AsType[*foreignError](err)
}
