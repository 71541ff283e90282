package gateapi

import (
	"crypto/sha256"
	_ "crypto/sha512" // digests of either algorithm can be checked
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

const _ = sha256.Size // the algorithm of most digests

// request is the body of both routes.
type request struct {
	Images    []requestImage `json:"images"`
	Cluster   string         `json:"cluster"`
	Namespace string         `json:"namespace"`
	Pins      bool           `json:"pins"`
}

type requestImage struct {
	Name    string `json:"name"`
	Image   string `json:"image"`
	Running string `json:"running"`
}

// decode reads a request strictly: unknown and repeated members, other types
// and other spellings of names are refused, with the place where they stand.
func decode(body []byte) (gate.Workload, *failure) {
	var in request
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil {
		return gate.Workload{}, unreadable(err)
	}
	w := gate.Workload{Where: pipeline.Where{Cluster: in.Cluster, Namespace: in.Namespace}, Pins: in.Pins}
	for at, name := range map[string]string{"cluster": in.Cluster, "namespace": in.Namespace} {
		if f := checkName(at, name); f != nil {
			return gate.Workload{}, f
		}
	}
	switch {
	case len(in.Images) == 0:
		return gate.Workload{}, badMember("images", "names no image", "name every image of the workload, containers and init containers")
	case len(in.Images) > limits.GateImages:
		return gate.Workload{}, newFailure(codeLimit, fmt.Sprintf("images has %d elements, more than %d (limit GateImages)", len(in.Images), limits.GateImages), "ask about fewer images at a time")
	}
	w.Images = make([]gate.Image, len(in.Images))
	for i, one := range in.Images {
		at := "images[" + strconv.Itoa(i) + "]"
		if f := checkName(at+".name", one.Name); f != nil {
			return gate.Workload{}, f
		}
		switch running := digest.Digest(one.Running); {
		case one.Image == "":
			return gate.Workload{}, badMember(at+".image", "is missing or empty", "write the image as the workload names it, registry/repository:tag or registry/repository@sha256:…")
		case len(one.Image) > limits.GateAPIImageBytes:
			return gate.Workload{}, newFailure(codeLimit, fmt.Sprintf("%s.image is longer than %d bytes (limit GateAPIImageBytes)", at, limits.GateAPIImageBytes), "")
		case one.Running != "" && running.Validate() != nil:
			return gate.Workload{}, badMember(at+".running", "is "+echo(one.Running)+", which is no digest", "write the digest that the runtime reports, sha256:…, without the image's name")
		default:
			w.Images[i] = gate.Image{Name: one.Name, Written: one.Image, Running: running}
		}
	}
	return w, nil
}

func checkName(at, name string) *failure {
	switch {
	case len(name) > limits.GateAPINameBytes:
		return newFailure(codeLimit, fmt.Sprintf("%s is longer than %d bytes (limit GateAPINameBytes)", at, limits.GateAPINameBytes), "")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return badMember(at, "holds characters that cannot be seen", "")
	}
	return nil
}

func badMember(at, what, hint string) *failure {
	return newFailure(codeInvalid, "read the request: "+at+" "+what, hint)
}

// unreadable says what the decoder did not like. Its own words may hold parts
// of the body.
func unreadable(err error) *failure {
	const hint = "the document at /v1/openapi.json says what a request is"
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	what := "a JSON object is wanted"
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		what = "there is no member " + echo(pointer(semantic.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		what = "the member " + echo(pointer(syntax.JSONPointer)) + " is there twice"
	case errors.As(err, &syntax):
		what = "it is not JSON, at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		what = "the member " + echo(pointer(semantic.JSONPointer)) + " has another type than it should"
	}
	f := newFailure(codeInvalid, "read the request: "+what, hint)
	f.err = nil // it may hold parts of the body
	return f
}

// pointer writes a JSON pointer as people write members.
func pointer(p jsontext.Pointer) string {
	var parts []string
	for token := range p.Tokens() {
		parts = append(parts, token)
	}
	return strings.Join(parts, ".")
}

// contentType lets JSON pass.
func contentType(h http.Header) *failure {
	bad := func(name, value string) *failure {
		return newFailure(codeMediaType, "the request's "+name+" is "+echo(value), "send JSON, with the header \"Content-Type: application/json\"")
	}
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return bad("Content-Encoding", e)
	}
	value := h.Get("Content-Type")
	t, params, err := mime.ParseMediaType(value)
	if charset := params["charset"]; err != nil || t != mediaTypeJSON || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return bad("Content-Type", value)
	}
	return nil
}

// Where a request says how long its sender waits: as the Kubernetes API
// server tells its webhooks, and, for those who cannot change an address, as a
// header in seconds.
const (
	timeoutParameter = "timeout"
	timeoutHeader    = "Request-Timeout"
)

// timeout is how long the sender waits, bounded. Where both ways are used, the
// shorter time counts.
func timeout(r *http.Request) (time.Duration, *failure) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return 0, newFailure(codeInvalid, "read the request: the query of its address is malformed", "")
	}
	for name := range query {
		if name != timeoutParameter {
			return 0, newFailure(codeInvalid, "read the request: there is no query parameter "+echo(name), "the only one is "+timeoutParameter)
		}
	}
	out, said := time.Duration(limits.GateAPITimeoutMost), false
	take := func(name, value string, d time.Duration, err error) *failure {
		if err != nil || d < limits.GateAPITimeoutLeast {
			return newFailure(codeInvalid, "read the request: "+name+" is "+echo(value), "write it as in ?timeout=10s, or the header \"Request-Timeout: 10\" in seconds; a second at least")
		}
		out, said = min(out, d), true
		return nil
	}
	if values := query[timeoutParameter]; len(values) > 0 {
		d, err := time.ParseDuration(values[0])
		if len(values) > 1 {
			err = errors.New("twice")
		}
		if f := take(timeoutParameter, strings.Join(values, " "), d, err); f != nil {
			return 0, f
		}
	}
	if values := r.Header.Values(timeoutHeader); len(values) > 0 {
		seconds, err := strconv.ParseUint(values[0], 10, 20)
		if len(values) > 1 {
			err = errors.New("twice")
		}
		if f := take(timeoutHeader, strings.Join(values, " "), time.Duration(seconds)*time.Second, err); f != nil { //nolint:gosec // 20 bits
			return 0, f
		}
	}
	if !said {
		return limits.GateAPITimeout, nil
	}
	return out, nil
}

// margin is what of that time is kept for the answer's way back.
func margin(d time.Duration) time.Duration { return min(limits.GateAPIMargin, d/10) }
