package gateapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
)

// Where the policy bundle in use is, and the signature beside it, as files are
// named.
const (
	policyPath     = "/v1/policy"
	policyJWSPath  = "/v1/policy.jws.sig"
	policyCOSEPath = "/v1/policy.cose.sig"
)

// The routes of the signature beside the policy, by its format.
const (
	routePolicyJWS  = "policySignature"
	routePolicyCOSE = "policySignatureCOSE"
)

// PolicyBundle is a policy bundle with the signature beside it, as bytes:
// whoever takes it judges it for himself.
type PolicyBundle struct {
	MediaType string // of the bundle
	Data      []byte
	Signature []byte // nil: there is none
	// SignatureType is shuin.MediaTypeJWS or shuin.MediaTypeCOSE.
	SignatureType string
}

// policy hands out the policy bundle in use, or its signature, to who may read
// it.
func (d *door) policy(q *asked, p *Principal) (answer, *failure) {
	if !p.ReadsPolicy {
		return answer{}, newFailure(codeRight, fmt.Sprintf("principal %q may not read the policy", p.Name),
			"set readsPolicy: true for it in the server's configuration (gate.principals), if it decides by the same policy")
	}
	var b *PolicyBundle
	if d.server.Policy != nil {
		b = d.server.Policy()
	}
	if b == nil {
		return answer{}, newFailure(codeNoRoute, "this server hands out no policy", "it does where the gate decides by a policy bundle (gate.bundle)")
	}
	mediaType, data := b.MediaType, b.Data
	if q.route != routePolicy {
		mediaType, data = shuin.MediaTypeJWS, b.Signature
		if q.route == routePolicyCOSE {
			mediaType = shuin.MediaTypeCOSE
		}
		if b.Signature == nil || b.SignatureType != mediaType {
			return answer{}, newFailure(codeNoRoute, "the policy bundle in use has no signature of this format", "")
		}
	}
	a := answer{status: http.StatusOK, mediaType: mediaType, body: data, etag: `"` + digest.FromBytes(data).String() + `"`}
	if known(q.http.Header["If-None-Match"], a.etag) {
		a.status, a.body = http.StatusNotModified, nil
	}
	return a, nil
}

// known says whether one of the entity tags is what there is (RFC 9110,
// section 13.1.2).
func known(headers []string, etag string) bool {
	for _, header := range headers {
		for tag := range strings.SplitSeq(header, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
