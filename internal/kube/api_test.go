package kube_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shuin/shuin/internal/kube"
)

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
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusNotFound)
			}))
			defer server.Close()
			file := filepath.Join(t.TempDir(), "config")
			text := `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"s","cluster":{"server":"` + server.URL +
				`"}}],"contexts":[{"name":"c","context":{"cluster":"s","user":"u","namespace":"there"}}],"users":[{"name":"u","user":{}}]}`
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			api, err := kube.New(kube.Options{Kubeconfig: file})
			if err != nil || api.Namespace != "there" {
				t.Fatal(err)
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
