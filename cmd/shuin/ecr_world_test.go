//go:build unix

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptECR stands in for ECR: the token API, and in front of the script's dev
// registry a door that takes only those tokens. Clients reach the registry's
// name through HTTP_PROXY.
type scriptECR struct {
	mu      sync.Mutex
	tokens  int    // given so far
	refuse  int    // how many of the next requests with a good token are refused with 403
	denied  string // refusal of the token API, empty: none
	life    time.Duration
	message string   // of a 403 of the registry
	listed  []string // what DescribeImages answers, one image each
}

const ecrHost = signerAccount + ".dkr.ecr." + signerRegion + ".amazonaws.com"

// cmdECR starts it: ecr start. ecr refuse N has the registry answer 403 to the
// next N requests that bring a token; ecr deny CODE MESSAGE has the token API
// refuse; ecr describe DIGEST AGE manifest|index|signature [tags] adds an image to
// what DescribeImages answers, which is refused while there is none; ecr tokens N wants N tokens to have been given since.
func cmdECR(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "start":
		w.ecr = &scriptECR{life: 12 * time.Hour}
		ts.Setenv("ECR", ecrHost)
		ts.Setenv("AWS_ENDPOINT_URL_ECR", serveScript(ts, w.ecr.api()))
		ts.Setenv("AWS_ENDPOINT_URL_ECR_PUBLIC", ts.Getenv("AWS_ENDPOINT_URL_ECR"))
		ts.Setenv("HTTP_PROXY", serveScript(ts, w.ecr.registry(w.registry)))
		ts.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLEEXAMPLE00")
		ts.Setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-shown-secret-access-key-0001")
		return
	}
	w.ecr.mu.Lock()
	defer w.ecr.mu.Unlock()
	switch args[0] {
	case "refuse":
		_, err := fmt.Sscan(args[1], &w.ecr.refuse)
		check(ts, err)
		w.ecr.message = "Your authorization token has expired. Reauthenticate and try again."
		if len(args) > 2 {
			w.ecr.message = args[2]
		}
	case "deny":
		if w.ecr.denied = ""; args[1] == "" {
			w.ecr.tokens = 0
			return
		}
		w.ecr.denied = fmt.Sprintf(`{"__type":"%s","message":"%s"}`, args[1], args[2])
	case "describe":
		tags, err := json.Marshal(args[4:])
		check(ts, err)
		age, err := time.ParseDuration(args[2])
		check(ts, err)
		w.ecr.listed = append(w.ecr.listed, fmt.Sprintf(`{"imageDigest":%q,"imageTags":%s,"imagePushedAt":%d,"imageManifestMediaType":"application/vnd.oci.image.%s.v1+json","artifactMediaType":%q}`,
			args[1], tags, time.Now().Add(-age).Unix(), args[3], map[string]string{"manifest": "application/vnd.oci.image.config.v1+json", "signature": "application/vnd.cncf.notary.signature"}[args[3]]))
	case "tokens":
		if got := fmt.Sprint(w.ecr.tokens); got != args[1] {
			ts.Fatalf("%s tokens were given, want %s", got, args[1])
		}
		w.ecr.tokens = 0
	default:
		ts.Fatalf("ecr: unknown %q", args[0])
	}
}

func serveScript(ts *testscript.TestScript, h http.Handler) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(ts, err)
	srv := &http.Server{Handler: h}
	go srv.Serve(ln)
	ts.Defer(func() { srv.Close() })
	return "http://" + ln.Addr().String()
}

// api is GetAuthorizationToken of both ECRs.
func (e *scriptECR) api() http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		target := r.Header.Get("X-Amz-Target")
		scope := "/" + signerRegion + "/ecr/aws4_request"
		if strings.HasPrefix(target, "Spencer") {
			scope = "/us-east-1/ecr-public/aws4_request"
		}
		out.Header().Set("Content-Type", "application/x-amz-json-1.1")
		out.Header().Set("x-amzn-RequestId", "ecr-request-1")
		switch {
		case strings.HasSuffix(target, ".DescribeImages") && len(e.listed) > 0:
			fmt.Fprintf(out, `{"imageDetails":[%s]}`, strings.Join(e.listed, ","))
		case strings.HasSuffix(target, ".DescribeImages"):
			out.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(out, `{"__type":"AccessDeniedException","message":"not authorized to perform: ecr:DescribeImages"}`)
		case !strings.HasSuffix(target, ".GetAuthorizationToken"), !strings.Contains(r.Header.Get("Authorization"), scope):
			http.Error(out, `{"__type":"InvalidSignatureException","message":"`+target+`"}`, http.StatusForbidden)
		case e.denied != "":
			out.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(out, e.denied)
		default:
			e.tokens++
			token := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "AWS:registry-password-%d", e.tokens))
			data := fmt.Sprintf(`{"authorizationToken":"%s","expiresAt":%d.5}`, token, time.Now().Add(e.life).Unix())
			if !strings.HasPrefix(target, "Spencer") {
				data = "[" + data + "]"
			}
			fmt.Fprintf(out, `{"authorizationData":%s}`, data)
		}
	})
}

// registry lets requests through that bring a token, and no others.
func (e *scriptECR) registry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || user != "AWS" || !strings.HasPrefix(password, "registry-password-") {
			out.Header().Set("WWW-Authenticate", `Basic realm="https://`+r.Host+`/",service="ecr.amazonaws.com"`)
			http.Error(out, "Not Authorized", http.StatusUnauthorized)
			return
		}
		e.mu.Lock()
		refuse, message := e.refuse > 0, e.message
		e.refuse--
		e.mu.Unlock()
		if refuse {
			out.Header().Set("Content-Type", "application/json")
			out.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(out, `{"errors":[{"code":"DENIED","message":"%s"}]}`, message)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v2/none/") {
			out.Header().Set("Content-Type", "application/json")
			out.WriteHeader(http.StatusNotFound)
			fmt.Fprint(out, `{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'none' does not exist in the registry with id '111122223333'"}]}`)
			return
		}
		next.ServeHTTP(out, r)
	})
}
