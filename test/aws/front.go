package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/shuin/shuin/internal/devregistry"
)

// front stands before moto: what moto lacks is answered here, and all else
// passed on.
type front struct {
	*cloud
	moto     string
	proxy    http.Handler
	function *function
	services *services
	calls    *calls
	table    sync.Mutex
}

// openFront serves AWS.
func (c *cloud) openFront(moto string) error {
	to, err := url.Parse(moto)
	if err != nil {
		return err
	}
	list, err := os.Create(filepath.Join(c.dir, "calls"))
	if err != nil {
		return err
	}
	f := &front{cloud: c, moto: moto, proxy: httputil.NewSingleHostReverseProxy(to), calls: &calls{file: list, seen: map[string]bool{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", func(w http.ResponseWriter, r *http.Request) { f.function.invoked(w, r) })
	for _, path := range []string{"event-source-mappings", "event-source-mappings/"} { // the SDKs differ
		mux.HandleFunc("POST /2015-03-31/"+path, f.mapped)
	}
	mux.HandleFunc("POST /trial/registry/{what}", f.registrySwitch)
	mux.HandleFunc("POST /trial/moved", f.moved)
	mux.HandleFunc("/", f.pass)
	port, err := c.serve(mux)
	if err != nil {
		return err
	}
	c.endpoint = "http://127.0.0.1:" + port
	more, err := f.openProxy()
	if err != nil {
		return err
	}
	if f.function, err = c.openFunction(more); err != nil {
		return err
	}
	f.services = newServices(moto, f.function.invoke)
	f.services.tags = tags{c.registry}
	c.atEnd(f.services.stop)
	return nil
}

// openProxy stands between the function and the signer, and takes down what it
// asks. A signer answers to its own names alone, so that nothing can stand in
// its place: the function asks for one that is not loopback to the eye, and
// goes by a proxy. The settings are the function's.
func (f *front) openProxy() (settings []string, err error) {
	var signer string
	for _, s := range f.signer {
		if at, ok := strings.CutPrefix(s, "AWS_ENDPOINT_URL_SIGNER=http://"); ok {
			signer = at
		}
	}
	if signer == "" {
		return nil, errors.New("shuind dev does not say where it is, with AWS_ENDPOINT_URL_SIGNER")
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", signer }} // the host stays as it was signed
	port, err := f.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "verification."+signer {
			http.Error(w, "there is verification."+signer+" alone", http.StatusForbidden)
			return
		}
		name, known := signerActions[r.Method+" "+r.URL.Path]
		if !known {
			name = "signer:" + r.Method + " " + r.URL.Path // which nothing allows
		}
		f.calls.add(name)
		proxy.ServeHTTP(w, r)
	}))
	return []string{
		"AWS_ENDPOINT_URL_SIGNER=http://verification." + signer, "HTTP_PROXY=http://127.0.0.1:" + port, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	}, err
}

// signerActions are IAM's names of what a function may ask of AWS Signer.
var signerActions = map[string]string{"GET /revocations": "signer:GetRevocationStatus"}

// pass answers for ECS what moto lacks. DynamoDB looks at a condition and writes
// at once; moto does it in two steps, and gets one call at a time.
func (f *front) pass(w http.ResponseWriter, r *http.Request) {
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.calls.note(r, service, operation)
	switch {
	case strings.HasPrefix(service, "DynamoDB_"):
		f.table.Lock()
		defer f.table.Unlock()
	case service == ecsTarget && f.services.answer(w, r, operation):
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// registrySwitch has the registry answer nobody ("away"), or again ("back").
func (f *front) registrySwitch(w http.ResponseWriter, r *http.Request) {
	f.registry.ClearFaults()
	switch r.PathValue("what") {
	case "away":
		// So long a time that nobody waits for it.
		f.registry.FailNext(devregistry.Fault{Times: -1, Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}})
	case "back":
	default:
		http.Error(w, "away or back", http.StatusNotFound)
	}
}

// awsError answers an error in the words of AWS's JSON protocols.
func awsError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}

// calls are IAM's names of what the function called, each once, in DIR/calls.
type calls struct {
	mu   sync.Mutex
	file *os.File
	seen map[string]bool
}

// prefixes of IAM's actions, by that of X-Amz-Target.
var prefixes = map[string]string{ecsTarget: "ecs", "DynamoDB_20120810": "dynamodb"}

// ofFunction says whether the function asks; others have another user agent.
func ofFunction(r *http.Request) bool {
	return slices.ContainsFunc(strings.Fields(r.UserAgent()), func(word string) bool { return strings.HasPrefix(word, "shuin-lambda/") })
}

// note takes down a call of the function. Calls in another form than AWS's JSON
// have their name in the body ("Action=…"), or are known by their path.
func (c *calls) note(r *http.Request, service, operation string) {
	if !ofFunction(r) {
		return
	}
	name := prefixes[service] + ":" + operation
	if service == "" {
		_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		part := strings.Split(scope, "/")
		if len(part) < 4 {
			return
		}
		switch name = part[3] + ":" + r.Method; name { // else something that nothing allows
		case "sns:POST":
			name = "sns:Publish" // the one call of SNS that it has
		case "s3:GET":
			name = "s3:GetObject"
		}
	}
	c.add(name)
}

// add takes a call down.
func (c *calls) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.seen[name] {
		c.seen[name] = true
		fmt.Fprintln(c.file, name)
	}
}
