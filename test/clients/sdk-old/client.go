// Package client uses a signing service as a program of somebody else's would:
// through the official AWS SDK for Go, of whatever version the module that
// imports it requires, and through nothing of Shuin's. Its tests are run by
// test/clients, which starts the service and tells where it is.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/signer"
)

// Variables that test/clients sets. The host of the endpoint is a name that
// nothing resolves: every connection goes to the address instead.
const (
	envEndpoint = "SHUIN_TEST_ENDPOINT"   // http://HOST:PORT
	envAddress  = "SHUIN_TEST_ADDRESS"    // 127.0.0.1:PORT
	envRegion   = "SHUIN_TEST_REGION"     //
	envAccount  = "SHUIN_TEST_ACCOUNT"    //
	envKey      = "SHUIN_TEST_ACCESS_KEY" //
	envSecret   = "SHUIN_TEST_SECRET"     //
	envName     = "SHUIN_TEST_NAME"       // what names of profiles begin with
)

const (
	platform      = "Notation-OCI-SHA384-ECDSA"
	payloadFormat = "application/vnd.cncf.notary.payload.v1+json"
)

// world is the service as this client sees it.
type world struct {
	t        *testing.T
	endpoint string
	account  string
	region   string
	name     string
	wire     *wire
	client   *signer.Client
}

func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: these tests are run by `go test -tags e2e ./test/clients` of the main module", name)
	}
	return value
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, endpoint: setting(t, envEndpoint), account: setting(t, envAccount), region: setting(t, envRegion), name: setting(t, envName)}
	w.wire = newWire(setting(t, envAddress))
	t.Cleanup(w.wire.transport.CloseIdleConnections)
	w.client = w.newClient(setting(t, envKey), setting(t, envSecret))
	return w
}

// newClient has no configuration but what is given here.
func (w *world) newClient(key, secret string) *signer.Client {
	return signer.New(signer.Options{
		Region:       w.region,
		BaseEndpoint: aws.String(w.endpoint),
		HTTPClient:   &http.Client{Transport: w.wire},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, Source: "test"}, nil
		}),
	})
}

// wire dials one address whatever the name, and notes which names were asked for.
type wire struct {
	transport *http.Transport
	mu        sync.Mutex
	hosts     map[string][]string // operation's method and path, to hosts
	loseNext  string              // path whose next answer does not arrive
	lost      int
}

func newWire(address string) *wire {
	w := &wire{hosts: map[string][]string{}}
	w.transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
	}}
	return w
}

var errLost = errors.New("read: connection reset by peer")

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	key := r.Method + " " + r.URL.Path
	w.hosts[key] = append(w.hosts[key], r.URL.Host)
	lose := w.loseNext != "" && r.URL.Path == w.loseNext
	if lose {
		w.loseNext = ""
		w.lost++
	}
	w.mu.Unlock()
	resp, err := w.transport.RoundTrip(r)
	if err != nil || !lose {
		return resp, err
	}
	// The service has done its work; the client never hears of it.
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return nil, &net.OpError{Op: "read", Net: "tcp", Err: errLost}
}

// askedHosts are the hosts that method and path were sent to.
func (w *wire) askedHosts(key string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.hosts[key]...)
}

func (w *wire) lose(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loseNext = path
}

func (w *wire) lostAnswers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

func (w *world) profileARN(name string) string {
	return fmt.Sprintf("arn:aws:signer:%s:%s:/signing-profiles/%s", w.region, w.account, name)
}

func (w *world) jobARN(id string) string {
	return fmt.Sprintf("arn:aws:signer:%s:%s:/signing-jobs/%s", w.region, w.account, id)
}

// descriptor is a payload; n makes it one of its own.
func descriptor(n int) []byte {
	return fmt.Appendf(nil, `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%064x","size":%d}}`, n, 500+n)
}

// must fails the test at once, with what the service said.
func must[T any](t *testing.T, what string) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}

func has(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func isPrefixed(hosts []string, prefix, endpoint string) bool {
	if len(hosts) == 0 {
		return false
	}
	want := prefix + strings.TrimPrefix(endpoint, "http://")
	for _, h := range hosts {
		if h != want {
			return false
		}
	}
	return true
}
