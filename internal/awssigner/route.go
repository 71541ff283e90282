package awssigner

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// operation is one row of the service model.
type operation struct {
	name, method string
	path         string // as the model has it; {…} is a label of one segment
	repeat       repeat
	tags         bool // the tag operations have error names of their own
	serve        func(ctx context.Context, s Service, q *request) (any, error)
}

// operations are the nineteen of the service model, 2017-08-25.
var operations = []operation{
	{name: "SignPayload", method: "POST", path: "/signing-jobs/with-payload", repeat: repeatSame, serve: signPayload},
	{name: "StartSigningJob", method: "POST", path: "/signing-jobs", repeat: repeatNever, serve: startSigningJob},
	{name: "DescribeSigningJob", method: "GET", path: "/signing-jobs/{jobId}", repeat: repeatRead, serve: describeSigningJob},
	{name: "ListSigningJobs", method: "GET", path: "/signing-jobs", repeat: repeatRead, serve: listSigningJobs},
	{name: "RevokeSignature", method: "PUT", path: "/signing-jobs/{jobId}/revoke", repeat: repeatNever, serve: revokeSignature},
	{name: "PutSigningProfile", method: "PUT", path: "/signing-profiles/{profileName}", repeat: repeatNever, serve: putSigningProfile},
	{name: "GetSigningProfile", method: "GET", path: "/signing-profiles/{profileName}", repeat: repeatRead, serve: getSigningProfile},
	{name: "CancelSigningProfile", method: "DELETE", path: "/signing-profiles/{profileName}", repeat: repeatNever, serve: cancelSigningProfile},
	{name: "ListSigningProfiles", method: "GET", path: "/signing-profiles", repeat: repeatRead, serve: listSigningProfiles},
	{name: "RevokeSigningProfile", method: "PUT", path: "/signing-profiles/{profileName}/revoke", repeat: repeatNever, serve: revokeSigningProfile},
	{name: "AddProfilePermission", method: "POST", path: "/signing-profiles/{profileName}/permissions", repeat: repeatNever, serve: addProfilePermission},
	{name: "ListProfilePermissions", method: "GET", path: "/signing-profiles/{profileName}/permissions", repeat: repeatRead, serve: listProfilePermissions},
	{name: "RemoveProfilePermission", method: "DELETE", path: "/signing-profiles/{profileName}/permissions/{statementId}", repeat: repeatNever, serve: removeProfilePermission},
	{name: "GetRevocationStatus", method: "GET", path: "/revocations", repeat: repeatRead, serve: getRevocationStatus},
	{name: "GetSigningPlatform", method: "GET", path: "/signing-platforms/{platformId}", repeat: repeatRead, serve: getSigningPlatform},
	{name: "ListSigningPlatforms", method: "GET", path: "/signing-platforms", repeat: repeatRead, serve: listSigningPlatforms},
	{name: "TagResource", method: "POST", path: "/tags/{resourceArn}", repeat: repeatNever, tags: true, serve: tagResource},
	{name: "UntagResource", method: "DELETE", path: "/tags/{resourceArn}", repeat: repeatNever, tags: true, serve: untagResource},
	{name: "ListTagsForResource", method: "GET", path: "/tags/{resourceArn}", repeat: repeatRead, tags: true, serve: listTagsForResource},
}

// Operations are the names of all operations, for metrics and configuration.
func Operations() []string {
	names := make([]string, len(operations))
	for i, op := range operations {
		names[i] = op.name
	}
	slices.Sort(names)
	return names
}

// route finds the operation by method and escaped path: an ARN in a path is
// one segment whose slashes are escaped, so nothing may decode it before.
func (q *request) route() error {
	path := q.http.URL.EscapedPath()
	var allow []string
	for i := range operations {
		op := &operations[i]
		labels, ok := matchPath(op.path, path)
		if !ok {
			continue
		}
		if op.method != q.http.Method {
			allow = append(allow, op.method)
			continue
		}
		q.op, q.labels = op, labels
		return nil
	}
	if allow != nil {
		slices.Sort(allow)
		methods := strings.Join(allow, ", ")
		return &failure{status: http.StatusMethodNotAllowed, code: codeUnknownOp, allow: methods, reason: "method",
			message: "The path " + echo(path) + " has no method " + echo(q.http.Method) + ", only " + methods + "."}
	}
	return &failure{status: http.StatusNotFound, code: codeUnknownOp, reason: "path",
		message: "AWS Signer has no operation at the path " + echo(path) + "."}
}

// matchPath matches segment by segment and returns the labels decoded.
func matchPath(pattern, path string) (labels []string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	for i, w := range want {
		if !strings.HasPrefix(w, "{") {
			if w != got[i] {
				return nil, false
			}
			continue
		}
		label, err := url.PathUnescape(got[i])
		if err != nil || label == "" {
			return nil, false
		}
		labels = append(labels, label)
	}
	return labels, true
}
