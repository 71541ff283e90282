//go:build e2e

package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/test/kube/cluster"
)

// lab is a world, with the product's own gate, whose registry is reached by a way
// that counts what is asked of it and can make it wait. Images of shop are
// enforced, those of trial warned of, those of seen audited; all need the seal of
// build.
//
// Tests that share one give each subtest its view of it by [lab.in].
type lab struct {
	*world
	way *way
}

// newLab starts everything but the gate, which lab.installed does. Sealed are of
// the images those that end with "!".
func newLab(t testing.TB, images ...string) *lab {
	t.Helper()
	var plain []string
	for _, one := range images {
		plain = append(plain, strings.TrimSuffix(one, "!"))
	}
	l := &lab{world: newWorld(t, plain...)}
	l.way = newWay(t, l.registry)
	l.registry = l.way.address
	for i, one := range images {
		if one != plain[i] {
			l.seal(plain[i])
		}
	}
	return l
}

// installed installs the gate with the lab's policy and more of `k8s install`'s
// arguments; installing again brings what is there up to date.
func (l *lab) installed(args ...string) {
	l.t.Helper()
	if r := l.install(l.policy("enforce"), args...); r.Code != 0 {
		log := ""
		if l.gate != nil {
			log = l.gate.Log(l.t)
		}
		l.t.Fatalf("install: %s\n%s", r.Stderr, log)
	}
	l.AwaitHooks(l.t)
}

// policy is the lab's, with what has the mode given for shop.
func (l *lab) policy(mode string) string {
	more := ""
	for _, one := range [][2]string{{"trial", "warn"}, {"seen", "audit"}} {
		more += fmt.Sprintf("  - name: %[2]s\n    match: {images: [\"%[1]s/%[2]s/**\"]}\n    require: {all: [build]}\n    mode: %[3]s\n    tags: pin\n", l.registry, one[0], one[1])
	}
	text := strings.ReplaceAll(l.world.policy(mode), l.registry+"/**", l.registry+"/shop/**")
	return strings.Replace(text, "default: deny", more+"default: deny", 1)
}

// in is the lab as a test of its parts sees it: what fails, fails that test. A
// gate that it starts ends with it.
func (l *lab) in(t testing.TB) *lab {
	w := *l.world
	w.t = t
	return &lab{world: &w, way: l.way}
}

// down ends the gate at once, as the loss of all its nodes does, and leave in
// peace, as an update does: then it gives up its lead. Up starts another with what
// is configured now.
func (l *lab) down() { l.gate.Kill() }

func (l *lab) leave() {
	l.t.Helper()
	if err := l.gate.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	l.eventually(limit, func() error {
		if err := l.gate.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("the gate is still there: %v", err)
		}
		return nil
	})
}

func (l *lab) up() {
	l.t.Helper()
	l.start(make(chan cluster.Result))
	l.eventually(time.Minute, func() error { _, err := l.get("/readyz"); return err })
}

// ref is an image of the registry, as "shop/app:v1", written out.
func (l *lab) ref(image string) string { return l.registry + "/" + image }

// by is the same image by its digest alone.
func (l *lab) by(image string) string {
	repository, tag, _ := strings.Cut(image, ":")
	return l.ref(repository) + "@" + l.digest(repository, tag)
}

// seenFor is an Event of a namespace: at what, why, and what it says.
type seenFor struct{ at, reason, message string }

// events are those of a namespace about what is called kind/name, or begins so.
func (l *lab) events(ns, about string) (out []seenFor, err error) {
	l.t.Helper()
	all, err := l.Client.CoreV1().Events(ns).List(l.t.Context(), metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, e := range all.Items {
		at := strings.ToLower(e.InvolvedObject.Kind) + "/" + e.InvolvedObject.Name
		if strings.HasPrefix(at, about) {
			out = append(out, seenFor{at, e.Reason, e.Message})
		}
	}
	return out, nil
}

// event waits for an Event of that reason about what is called kind/name, or
// begins so, and is what it says.
func (l *lab) event(ns, about, reason string) string {
	l.t.Helper()
	var text string
	l.eventually(limit, func() error {
		all, err := l.events(ns, about)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(e seenFor) bool { return e.reason == reason })
		if i < 0 {
			return fmt.Errorf("no event %s at %s among %q", reason, about, all)
		}
		text = all[i].message
		return nil
	})
	return text
}

// pods waits until so many Pods of a selector are there, deleted ones apart.
func (l *lab) pods(ns, selector string, want int) []corev1.Pod {
	l.t.Helper()
	var out []corev1.Pod
	l.eventually(limit, func() error {
		all, err := l.Client.CoreV1().Pods(ns).List(l.t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return err
		}
		out = slices.DeleteFunc(all.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
		if len(out) != want {
			return fmt.Errorf("%d Pods of %s, want %d", len(out), selector, want)
		}
		return nil
	})
	return out
}

// way is a proxy before the registry.
type way struct {
	address string // localhost:port
	wait    atomic.Int64
	mu      sync.Mutex
	asked   []string
	held    string // paths with this wait for open
	open    chan struct{}
}

func newWay(t testing.TB, registry string) *way {
	t.Helper()
	to := &url.URL{Scheme: "http", Host: registry}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	w := &way{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.Method+" "+r.URL.Path)
		open := w.open
		if !strings.Contains(r.URL.Path, w.held) {
			open = nil
		}
		w.mu.Unlock()
		if waited(r.Context(), time.Duration(w.wait.Load()), open) {
			proxy.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	w.address = "localhost:" + port
	return w
}

// waited waits so long, and until open is closed where it is not nil. It is false
// where nobody waits any more.
func waited(ctx context.Context, d time.Duration, open <-chan struct{}) bool {
	if open != nil {
		select {
		case <-open:
		case <-ctx.Done():
			return false
		}
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// hold has requests wait whose path has part in it, until release is called. It may
// be called again.
func (w *way) hold(part string) (release func()) {
	open := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.open = part, open
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open = nil
		close(open)
	})
}

// slow has the registry answer each request so much later.
func (w *way) slow(d time.Duration) { w.wait.Store(int64(d)) }

// requests are those since forget, as "GET /v2/shop/app/manifests/v1".
func (w *way) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

func (w *way) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = nil
}
