package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	reviewBytes = 8 << 20 // a review; the API server's objects are 3 MiB at most
	requestKept = 1000    // requests that a webhook remembers
)

// Answer decides what a webhook says to a request; nil means allowed.
type Answer func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse

// Webhook is an admission webhook in the test's own process that allows all,
// until it is told otherwise: what a gate's cost is measured against.
type Webhook struct {
	CA []byte // CA bundle for clients, PEM

	tls      *tls.Config
	patch    Answer // to requests for "/patch"; nil: as to any other
	answer   atomic.Pointer[Answer]
	delay    atomic.Int64 // of time.Duration
	calls    atomic.Int64
	mu       sync.Mutex
	address  string
	server   *http.Server // nil while it is down
	requests []admissionv1.AdmissionRequest
}

// NewWebhook starts a webhook on loopback. The certificate is good for names
// too: those of Services that it is put behind.
func NewWebhook(tb testing.TB, names ...string) *Webhook {
	tb.Helper()
	w, err := newWebhook(names...)
	if err != nil {
		tb.Fatal(err)
	}
	w.Up(tb)
	tb.Cleanup(w.Down)
	return w
}

func newWebhook(names ...string) (*Webhook, error) {
	authority, err := NewAuthority("Shuin test webhook")
	if err != nil {
		return nil, err
	}
	config, err := authority.serveTLS(append([]string{"127.0.0.1"}, names...)...)
	return &Webhook{CA: authority.PEM, tls: config, address: "127.0.0.1:0"}, err
}

// Up starts a webhook that is down, on the port that it had.
func (w *Webhook) Up(tb testing.TB) {
	tb.Helper()
	if err := w.listen(); err != nil {
		tb.Fatalf("start a webhook: %v", err)
	}
}

func (w *Webhook) listen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server != nil {
		return nil
	}
	l, err := net.Listen("tcp", w.address)
	if err != nil {
		return err
	}
	w.address = l.Addr().String()
	// As API servers ask webhooks, but for those on their own machine: by HTTP/1.1.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	server := &http.Server{Handler: w, TLSConfig: w.tls.Clone(), Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second}
	w.server = server
	go func() { _ = server.ServeTLS(l, "", "") }() // it ends with Close
	return nil
}

// Down stops the webhook: connections end and new ones are refused.
func (w *Webhook) Down() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server != nil {
		_ = w.server.Close()
		w.server = nil
	}
}

// URL is where the API server calls the webhook.
func (w *Webhook) URL() string { return "https://" + w.Address() + "/" }

// Address is the webhook's host and port.
func (w *Webhook) Address() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.address
}

// Answer sets what the webhook says from now on; nil: allowed.
func (w *Webhook) Answer(a Answer) { w.answer.Store(&a) }

// Slow makes the webhook wait before each answer from now on.
func (w *Webhook) Slow(wait time.Duration) { w.delay.Store(int64(wait)) }

// Calls counts the requests since the start.
func (w *Webhook) Calls() int { return int(w.calls.Load()) }

// Requests are the first thousand requests since the start, or since the last
// call of Forget.
func (w *Webhook) Requests() []admissionv1.AdmissionRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]admissionv1.AdmissionRequest(nil), w.requests...)
}

// Forget empties Requests.
func (w *Webhook) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = nil
}

func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, reviewBytes)).Decode(&review); err != nil || review.Request == nil {
		http.Error(rw, "this is no AdmissionReview", http.StatusBadRequest)
		return
	}
	w.calls.Add(1)
	w.mu.Lock()
	if len(w.requests) < requestKept {
		w.requests = append(w.requests, *review.Request)
	}
	w.mu.Unlock()
	if err := wait(r.Context(), time.Duration(w.delay.Load())); err != nil {
		return // the API server has given up
	}
	var response *admissionv1.AdmissionResponse
	if w.patch != nil && r.URL.Path == "/patch" {
		response = w.patch(review.Request)
	} else if a := w.answer.Load(); a != nil && *a != nil {
		response = (*a)(review.Request)
	}
	if response == nil {
		response = &admissionv1.AdmissionResponse{Allowed: true}
	}
	response.UID = review.Request.UID
	review.Request, review.Response = nil, response
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(review) // an error: the API server has given up
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errors.New("given up")
	}
}

// Deny says no with a message.
func Deny(message string) Answer {
	return func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: message, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden}}
	}
}

// Warn says yes with warnings.
func Warn(warnings ...string) Answer {
	return func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: warnings}
	}
}

// Patch says yes with a JSON patch (RFC 6902).
func Patch(patch string) Answer {
	return func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		kind := admissionv1.PatchTypeJSONPatch
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(patch), PatchType: &kind}
	}
}
