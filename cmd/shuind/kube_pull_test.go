package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/internal/registry"
)

// pullSecret is a Secret with one password for a registry.
func pullSecret(t *testing.T, name, host, user, password string) *corev1.Secret {
	t.Helper()
	data, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"username": user, "password": password}}})
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: data}}
}

func TestARegistryIsAskedWithThePullSecretsOfThePod(t *testing.T) {
	reg, err := devregistry.New(devregistry.Options{Username: "u", Password: "right", Token: true})
	if err != nil {
		t.Fatal(err)
	}
	sample, err := reg.PutSample(shuin.Reference{Repository: "shop/app", Tag: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	defer server.Close()
	host := "localhost:" + server.URL[strings.LastIndexByte(server.URL, ':')+1:]
	core := fake.NewClientset(
		pullSecret(t, "right", host, "u", "right"), pullSecret(t, "wrong", host, "u", "wrong"), pullSecret(t, "elsewhere", "other.example", "u", "right"),
	)
	secrets := kube.NewPullSecrets(core, time.Now)
	plain := func(host string) bool { return registry.PlainHTTP(host, false, nil) }
	own := &registry.Client{PlainHTTP: plain}
	sources := &clients{client: own, pull: newPulled(secrets, own)}
	for _, c := range []struct {
		name    string
		secrets []string
		want    shuin.Code // empty: it is resolved
	}{
		{"the right one", []string{"right"}, ""},
		{"a wrong one before the right one", []string{"wrong", "right"}, ""},
		{"one that is missing, and the right one", []string{"missing", "right"}, ""},
		{"a wrong one", []string{"wrong"}, shuin.CodeUnauthorized},
		{"one for another registry: the gate's own credentials", []string{"elsewhere"}, shuin.CodeUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			access, err := secrets.Access(t.Context(), "shop", "", c.secrets)
			if err != nil {
				t.Fatal(err)
			}
			ref, err := shuin.ParseReference(host + "/shop/app:v1")
			if err != nil {
				t.Fatal(err)
			}
			source, err := sources.Open(access, ref)
			if err != nil {
				t.Fatal(err)
			}
			a, err := source.Resolve(t.Context(), ref)
			if shuin.CodeOf(err) != c.want || c.want == "" && a.Digest() != sample {
				t.Errorf("%v %v", a, err)
			}
			if c.want == "" {
				if _, err := source.Platforms(t.Context(), a); err != nil {
					t.Error(err)
				}
				if _, _, err := source.Signatures(t.Context(), a, 10); err != nil {
					t.Error(err)
				}
				if found, _, err := source.Discover(t.Context(), ref); err != nil || found.Digest() != sample {
					t.Errorf("%v %v", found, err)
				}
			}
		})
	}
	if _, err := sources.Open("an access of nobody", shuin.Reference{Registry: host, Repository: "shop/app", Tag: "v1"}); shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("an access that is not known: %v", err)
	}
}

// cloudToken gives one token for one host.
type cloudToken struct {
	host string
	err  error
}

func (c cloudToken) RegistryToken(_ context.Context, host string, _ bool) (string, string, time.Time, bool, error) {
	return "u", c.host, time.Time{}, host == c.host, c.err
}

func (c cloudToken) DropRegistryToken(host string) bool { return host == c.host }

func TestCloudsAreAskedInTurn(t *testing.T) {
	all := cloudTokens{cloudToken{host: "a"}, cloudToken{host: "b"}}
	for _, host := range []string{"a", "b"} {
		if _, password, _, ok, err := all.RegistryToken(t.Context(), host, false); !ok || err != nil || password != host || !all.DropRegistryToken(host) {
			t.Errorf("%s: %q %v %v", host, password, ok, err)
		}
	}
	if _, _, _, ok, err := all.RegistryToken(t.Context(), "c", false); ok || err != nil || all.DropRegistryToken("c") {
		t.Errorf("nobody's host: %v %v", ok, err)
	}
	failing := cloudTokens{cloudToken{host: "a", err: errors.New("no")}, cloudToken{host: "b"}}
	if _, _, _, ok, err := failing.RegistryToken(t.Context(), "b", false); ok || err == nil {
		t.Errorf("a cloud that cannot be asked is passed over: %v %v", ok, err)
	}
}
