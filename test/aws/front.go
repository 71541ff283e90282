package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
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
	mux.HandleFunc("/", f.pass)
	port, err := c.serve(mux)
	if err != nil {
		return err
	}
	c.endpoint = "http://127.0.0.1:" + port
	if f.function, err = c.openFunction(); err != nil {
		return err
	}
	f.services = newServices(moto, f.function.invoke)
	c.atEnd(f.services.stop)
	return nil
}

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

// note takes down a call of the function; others have another user agent. Calls
// in another form than AWS's JSON have their name in the body ("Action=…").
func (c *calls) note(r *http.Request, service, operation string) {
	if !strings.HasPrefix(r.UserAgent(), "shuin") {
		return
	}
	name := prefixes[service] + ":" + operation
	if service == "" {
		_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		part := strings.Split(scope, "/")
		if len(part) < 4 || part[3] != "sns" {
			return
		}
		name = "sns:Publish" // the one call of SNS that it has
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.seen[name] {
		c.seen[name] = true
		fmt.Fprintln(c.file, name)
	}
}
