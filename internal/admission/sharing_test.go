package admission

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/share"
)

// hold takes all places of s, as many senders as it takes; one leaves his.
func hold(t *testing.T, s *share.Share, all, part int64) (leave func()) {
	t.Helper()
	for i := range all / part {
		var err error
		if leave, err = s.Take(t.Context(), fmt.Sprintf("stranger %d", i), part); err != nil {
			t.Fatal(err)
		}
	}
	return leave
}

// has says whether who could have n places of s at once.
func has(s *share.Share, who string, n int64) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	leave, err := s.Take(ctx, who, n)
	if err == nil {
		leave()
	}
	return err == nil
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// crowdOf sends reviews from one address, all at once, about an image whose
// decision comes when it is released; until then it counts those that are waited
// for.
type crowdOf struct {
	d       *desk
	waits   atomic.Int64
	release chan struct{}
	work    sync.WaitGroup
}

func newCrowd(t *testing.T) (*crowdOf, *door) {
	c := &crowdOf{d: newDesk(), release: make(chan struct{})}
	c.d.before = func(ctx context.Context) {
		if who, _ := CallerOf(ctx); who.User == "stranger" {
			c.waits.Add(1)
			<-c.release
		}
	}
	h := server(c.d).Handler().(*door)
	t.Cleanup(func() { close(c.release); c.work.Wait() })
	return c, h
}

func (c *crowdOf) send(t *testing.T, h http.Handler, n int, from string, p *corev1.Pod) {
	t.Helper()
	q := created(p)
	q.UserInfo.Username = "stranger"
	body := bodyOf(t, q)
	for range n {
		c.work.Go(func() {
			r := httptest.NewRequest(http.MethodPost, ValidatePath+"?timeout=30s", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.RemoteAddr = from
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}

// apiServers are answered, also while strangers hold all that they can get.
func apiServersAreAnswered(t *testing.T, h http.Handler) {
	t.Helper()
	for range 3 {
		if a := response200(t, send(h, ValidatePath+"?timeout=30s", bodyOf(t, created(pod(pinnedOf(signed))))), false); !a.Allowed {
			t.Errorf("%+v", a.Result)
		}
	}
}

func TestAStrangerWhoseDecisionsAreWaitedForLeavesPlacesToTheAPIServers(t *testing.T) {
	c, h := newCrowd(t)
	c.send(t, h, limits.AdmissionSenderInFlight+64, "198.51.100.1:1", pod(pinnedOf(signed)))
	eventually(t, "the stranger has all his places", func() bool { return c.waits.Load() == limits.AdmissionSenderInFlight })
	apiServersAreAnswered(t, h)
	if n := c.waits.Load(); n != limits.AdmissionSenderInFlight {
		t.Errorf("%d decisions of the stranger's are waited for, want %d", n, limits.AdmissionSenderInFlight)
	}
}

func TestADecisionAboutManyImagesTakesPlacesOfMany(t *testing.T) {
	c, h := newCrowd(t)
	images := make([]string, limits.GateImages)
	for i := range images {
		images[i] = pinnedOf(signed)
	}
	const most = limits.AdmissionSenderInFlight / (1 + limits.GateImages/limits.AdmissionImagesOfPlace)
	c.send(t, h, most+8, "198.51.100.1:1", pod(images...))
	eventually(t, "the stranger has all his places", func() bool { return c.waits.Load() == most })
	apiServersAreAnswered(t, h)
	if n := c.waits.Load(); n != most {
		t.Errorf("%d decisions of the stranger's are waited for, want %d", n, most)
	}
}

func TestOneSenderAloneHasAsManyDecisionsAsAPIServersNeed(t *testing.T) {
	c, h := newCrowd(t)
	c.send(t, h, limits.AdmissionSenderInFlight, "192.0.2.1:1", pod(pinnedOf(signed))) // all API servers behind one address
	eventually(t, "all are waited for", func() bool { return c.waits.Load() == limits.AdmissionSenderInFlight })
}

// begun sends the beginning of a review over a connection of its own from an
// address; it says how long the body is.
func begun(t *testing.T, srv *httptest.Server, from byte, said int) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
	conn, err := dialer.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "POST %s?timeout=1s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", ValidatePath, said)
	return conn
}

func TestOneSendersBodiesOnTheirWayAreBoundedAndLeaveRoomForOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		said int // of each body
		most int // at a time
	}{
		{"long ones", limits.AdmissionSmallBytes, limits.AdmissionSenderBytes / limits.AdmissionSmallBytes},
		{"short ones, which have as much room", 2, limits.AdmissionSenderBytes / limits.AdmissionRoomBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := server(newDesk()).Handler().(*door)
			h.smallTime = time.Minute
			srv := httptest.NewServer(h)
			defer srv.Close()
			for range c.most {
				begun(t, srv, 2, c.said)
			}
			eventually(t, "all of the sender's room is taken", func() bool { return !has(h.arriving, "127.0.0.2", 1) })
			late := begun(t, srv, 2, 100)
			if answer, err := io.ReadAll(io.LimitReader(late, 40)); !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
				t.Errorf("one more of the same sender: %s %v", answer, err)
			}
			body := bodyOf(t, created(pod(pinnedOf(signed))))
			resp, err := http.Post(srv.URL+ValidatePath+"?timeout=5s", "application/json", bytes.NewReader(body)) // from 127.0.0.1
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
			srv.CloseClientConnections()
			eventually(t, "the room is given back", func() bool { return has(h.arriving, "127.0.0.2", limits.AdmissionSenderBytes) })
		})
	}
}

func TestLargeReviewsThatAStrangerSendsSlowlyHoldUpNoLargeOneOfTheAPIServers(t *testing.T) {
	h := server(newDesk()).Handler().(*door)
	srv := httptest.NewServer(h)
	defer srv.Close()
	for range 8 {
		begun(t, srv, 2, limits.AdmissionBodyBytes)
	}
	eventually(t, "the stranger has all his places", func() bool { return !has(h.large, "127.0.0.2", 1) })
	if a := response200(t, send(h, ValidatePath, bodyOf(t, created(large(3<<20)))), false); !a.Allowed {
		t.Errorf("%+v", a.Result)
	}
	srv.CloseClientConnections()
}

func TestALongBodysRoomIsNotKeptForShortOnes(t *testing.T) {
	h := server(newDesk()).Handler().(*door)
	body := bodyOf(t, created(pod(pinnedOf(signed))))
	for range 8 { // a pool may drop what it is given, and does under the race detector
		if trouble := h.read(append(make([]byte, 0, limits.AdmissionSmallBytes), body...), &question{request: new(request), endpoint: Validate}); trouble != nil {
			t.Fatal(trouble.text)
		}
		if room, ok := h.bodies.Get().(*[]byte); ok {
			t.Fatalf("a body of %d bytes is kept", cap(*room))
		}
	}
}

// What is waited for holds no more of its review than is needed.
func TestAnAnnotationThatIsTooLongToBeOursIsNotKept(t *testing.T) {
	for _, c := range []struct{ bytes, kept int }{{limits.AdmissionImagesBytes, limits.AdmissionImagesBytes}, {limits.AdmissionImagesBytes + 1, 0}} {
		raw := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}},"spec":{}}`, ImagesAnnotation, strings.Repeat("a", c.bytes))
		o, err := readObject(raw, []string{"spec"})
		if err != nil || len(o.pod.written) != c.kept || !o.pod.hasWritten {
			t.Errorf("of %d bytes %d are kept (%v)", c.bytes, len(o.pod.written), err)
		}
	}
}

func TestNobodyIsAnsweredLaterThanTheWebhooksConfigurationSays(t *testing.T) {
	for _, c := range []struct {
		configured time.Duration
		query      string
		most       time.Duration // that is left for the decision
	}{
		{5 * time.Second, "?timeout=30s", 4500 * time.Millisecond},
		{5 * time.Second, "?timeout=2s", 1800 * time.Millisecond},
		{5 * time.Second, "", 4500 * time.Millisecond},
		{time.Minute, "?timeout=60s", 29500 * time.Millisecond}, // the API's own bound
		{0, "?timeout=30s", 29500 * time.Millisecond},
		{0, "", 9500 * time.Millisecond},
	} {
		d := newDesk()
		s := server(d)
		s.Timeout = c.configured
		response200(t, send(s.Handler(), ValidatePath+c.query, bodyOf(t, created(pod(pinnedOf(signed))))), false)
		if len(d.left) != 1 || d.left[0] > c.most || d.left[0] < c.most-time.Second {
			t.Errorf("configured %v, asked %q: %v are left, want %v at most", c.configured, c.query, d.left, c.most)
		}
	}
}
