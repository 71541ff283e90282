package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shuin/shuin/internal/limits"
)

// front routes what reaches the API's address. http.ServeMux is not used: it
// cleans and redirects paths, which breaks signed ones.
func front(api, crls, alive, ready http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, crlPath+"/"):
			crls.ServeHTTP(w, r)
		case r.URL.Path == "/healthz":
			alive.ServeHTTP(w, r)
		case r.URL.Path == "/readyz":
			ready.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// operationsFront is what the operations address serves.
func operationsFront(m *metrics, alive, ready http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", alive)
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

// entrance is one address and who answers there.
type entrance struct {
	what    string
	ln      net.Listener
	handler http.Handler
	tls     *tls.Config // nil: plain HTTP
}

// listen opens an address for at most max connections at a time; see
// boundedListener.
func listen(ctx context.Context, what, address string, max int) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, invalid("another process may have the address, or it is not one of this machine's", "%s: %w", what, err)
	}
	return newBoundedListener(ln, max), nil
}

// httpServer has a bound on everything a client can make it wait for or keep.
// HTTP/2 is off: no client needs it, and its streams would escape the bound on
// connections. API servers too speak HTTP/1.1 with webhooks, but for one at a
// loopback address (k8s.io/apiserver, package webhook), and a review costs half
// as much by it.
func (e entrance) httpServer(logger *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           e.handler,
		TLSConfig:         e.tls,
		Protocols:         &protocols,
		ReadHeaderTimeout: limits.ServerHeaderTime,
		ReadTimeout:       limits.ServerReadTime,
		WriteTimeout:      limits.ServerWriteTime,
		IdleTimeout:       limits.ServerIdleTime,
		MaxHeaderBytes:    limits.APIHeaderBytes,
		ConnState:         noteIdle,
		ErrorLog:          log.New(&debugWriter{log: logger, what: e.what}, "", 0),
	}
}

// debugWriter logs net/http's own lines, which strangers can cause at will,
// at the debug level.
type debugWriter struct {
	log  *slog.Logger
	what string
}

func (d *debugWriter) Write(p []byte) (int, error) {
	d.log.Debug("http server", "address", d.what, "text", oneLine(string(p)))
	return len(p), nil
}

// serveAll serves until ctx ends or one of them fails; then no new request is
// taken, those under way may finish within a bound, and all is closed.
func serveAll(ctx context.Context, logger *slog.Logger, ending func(), entrances []entrance) error {
	servers := make([]*http.Server, len(entrances))
	failed := make(chan error, len(entrances))
	for i, e := range entrances {
		servers[i] = e.httpServer(logger)
		go func() {
			err := error(nil)
			if e.tls != nil {
				err = servers[i].ServeTLS(e.ln, "", "")
			} else {
				err = servers[i].Serve(e.ln)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", e.what, err)
			}
		}()
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	ending()
	logger.Info("shutting down: no new requests; those under way may finish")
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.ServerShutdownTime)
	defer cancel()
	var wg sync.WaitGroup
	cut := make([]error, len(servers))
	for i, s := range servers {
		wg.Go(func() {
			if err := s.Shutdown(bound); err != nil {
				_ = s.Close()
				cut[i] = fmt.Errorf("%s: requests were cut off after %v", entrances[i].what, limits.ServerShutdownTime)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(cut, cause)...)
}
