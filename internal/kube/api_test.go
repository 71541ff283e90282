package kube_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/limits"
)

// apiAt is the API of a server that answers so.
func apiAt(t *testing.T, answer http.HandlerFunc) *kube.API {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "config")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"s","cluster":{"server":"` + server.URL +
		`"}}],"contexts":[{"name":"c","context":{"cluster":"s","user":"u","namespace":"there"}}],"users":[{"name":"u","user":{}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	api, err := kube.New(kube.Options{Kubeconfig: file})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestATenantWhosePodsNameManySecretsWaitsForHimselfAlone(t *testing.T) {
	var under, most atomic.Int32
	free := make(chan struct{})
	api := apiAt(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/namespaces/crowd/") {
			most.Store(max(most.Load(), under.Add(1)))
			<-free
			under.Add(-1)
		}
		w.WriteHeader(http.StatusNotFound)
	})
	p := kube.NewPullSecrets(api.Secrets, time.Now)
	var crowd sync.WaitGroup
	for i := range 200 {
		crowd.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, _ = p.Access(ctx, "crowd", "", []string{"gone-" + strconv.Itoa(i)})
		})
	}
	for deadline := time.Now().Add(10 * time.Second); under.Load() < limits.KubePullSecretsAtOnce; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are being read", under.Load())
		}
	}
	for i := range 100 { // more than the gate's own client lets through in a second
		if _, err := p.Access(t.Context(), "shop", "", []string{"gone-" + strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := most.Load(); n != limits.KubePullSecretsAtOnce {
		t.Errorf("%d of one namespace were read together", n)
	}
	close(free)
	crowd.Wait()
}

func TestTheAPIServersClockCounts(t *testing.T) {
	for _, c := range []struct {
		name        string
		ahead, want time.Duration
	}{
		{"it is a day ahead", 24 * time.Hour, 24 * time.Hour},
		{"it is eleven minutes behind", -11 * time.Minute, -11 * time.Minute},
		{"it differs by what an answer's way may take", 20 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := apiAt(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusNotFound)
			})
			if api.Namespace != "there" {
				t.Error(api.Namespace)
			}
			if d := time.Until(api.Now()).Abs(); d > time.Second {
				t.Errorf("before it was asked it is %v off", d)
			}
			if _, err := api.Core.CoreV1().Secrets("there").Get(t.Context(), "x", metav1.GetOptions{}); err == nil {
				t.Fatal("there is no such Secret")
			}
			if d := time.Until(api.Now()) - c.want; d.Abs() > 10*time.Second {
				t.Errorf("%v off", d)
			}
		})
	}
}
