package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// services stands in for the cluster's network: the API server reaches
// Services (of webhooks) through this proxy (HTTP CONNECT to a cluster IP), as
// it does where control plane and nodes are apart. A URL on loopback is dialed
// by the API server itself.
type services struct {
	cluster *Cluster
	server  *http.Server
	socket  string
	mu      sync.Mutex
	behind  map[string]string // namespace/name: address
}

func newServices(c *Cluster) (*services, error) {
	socket := c.file("egress.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on a socket (its path may be too long: set TMPDIR to a shorter one): %w", err)
	}
	s := &services{cluster: c, socket: socket, behind: map[string]string{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // it ends with Close
	return s, nil
}

func (s *services) close() { _ = s.server.Close() }

// egress is the API server's EgressSelectorConfiguration.
func (s *services) egress() []byte {
	data, err := json.Marshal(map[string]any{
		"apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration",
		"egressSelections": []any{map[string]any{"name": "cluster", "connection": map[string]any{
			"proxyProtocol": "HTTPConnect", "transport": map[string]any{"uds": map[string]any{"udsName": s.socket}},
		}}},
	})
	if err != nil {
		panic(err) // strings only
	}
	return data
}

// ServeService puts a server on loopback, as 127.0.0.1:8443, behind a Service,
// which must have a cluster IP by the time the API server calls it. Webhook
// configurations then work as they are written for users: with a service, not
// a URL. An empty address takes the server away.
func (c *Cluster) ServeService(namespace, name, address string) {
	c.services.mu.Lock()
	defer c.services.mu.Unlock()
	c.services.behind[namespace+"/"+name] = address
}

func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "this is a proxy for CONNECT", http.StatusMethodNotAllowed)
		return
	}
	address, why := s.lookUp(r.Context(), r.Host)
	if address == "" {
		http.Error(w, why, http.StatusBadGateway)
		return
	}
	there, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if err := buffered.Flush(); err != nil {
		return
	}
	both := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(there, buffered); both <- struct{}{} }()
	go func() { _, _ = io.Copy(here, there); both <- struct{}{} }()
	<-both // one way has ended: so does the connection
}

// lookUp is the address behind the Service that has the cluster IP in target,
// or why there is none.
func (s *services) lookUp(ctx context.Context, target string) (address, why string) {
	ip, _, err := net.SplitHostPort(target)
	if err != nil {
		return "", err.Error()
	}
	all, err := s.cluster.Client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, service := range all.Items {
		if service.Spec.ClusterIP == ip {
			name := service.Namespace + "/" + service.Name
			return s.behind[name], "nothing is behind service " + name
		}
	}
	return "", "no service has the address " + target
}
