package main

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/internal/registry"
)

func TestWhatARegistryRefusesTheAnonymousIsSaidToBeThat(t *testing.T) {
	for _, c := range []struct {
		name, repository, nobody string
		password                 string
		want                     shuin.Code
	}{
		{"a refusal", "shop/app", "the gate has no identity at Google Cloud", "secret", shuin.CodeUnauthorized},
		{"what is not there, for the anonymous", "shop/other", "the gate has no identity at Google Cloud", "", shuin.CodeNotFound},
		{"what is not there", "shop/other", "", "", shuin.CodeNotFound},
		{"what everybody may read", "shop/app", "the gate has no identity at Google Cloud", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := devregistry.Options{}
			if c.password != "" {
				o = devregistry.Options{Username: "u", Password: c.password, Token: true}
			}
			reg, err := devregistry.New(o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reg.PutSample(shuin.Reference{Repository: "shop/app", Tag: "v1"}); err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(reg)
			defer server.Close()
			host := "localhost:" + server.URL[strings.LastIndexByte(server.URL, ':')+1:]
			s := &clients{
				client: &registry.Client{PlainHTTP: func(host string) bool { return registry.PlainHTTP(host, false, nil) }},
				nobody: func(of string) string {
					if of != host {
						t.Errorf("asked about %q", of)
					}
					return c.nobody
				},
			}
			ref := shuin.Reference{Registry: host, Repository: c.repository, Tag: "v1"}
			source, err := s.Open("", ref)
			if err != nil {
				t.Fatal(err)
			}
			for what, ask := range map[string]func() error{
				"resolve":  func() error { _, err := source.Resolve(t.Context(), ref); return err },
				"discover": func() error { _, _, err := source.Discover(t.Context(), ref); return err },
			} {
				err := ask()
				if shuin.CodeOf(err) != c.want {
					t.Errorf("%s: %v", what, err)
				}
				if told := err != nil && strings.Contains(err.Error(), "no identity"); told != (err != nil && c.nobody != "") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// brokenCloud is one whose identity gives no token.
type brokenCloud struct{}

func (brokenCloud) RegistryToken(context.Context, string, bool) (string, string, time.Time, bool, error) {
	return "", "", time.Time{}, false, &shuin.Error{Code: shuin.CodeUnavailable, Message: "log in with the workload's identity", Hint: "see to it"}
}

func (brokenCloud) DropRegistryToken(string) bool { return false }

func TestACloudThatGivesNoTokenIsToldAndNobodyIsAskedAnonymously(t *testing.T) {
	reg, err := devregistry.New(devregistry.Options{Username: "u", Password: "secret", Token: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(reg)
	defer server.Close()
	host := "localhost:" + server.URL[strings.LastIndexByte(server.URL, ':')+1:]
	client := &registry.Client{PlainHTTP: func(host string) bool { return registry.PlainHTTP(host, false, nil) }}
	store := &registry.Store{DockerConfig: filepath.Join(t.TempDir(), "config.json")}
	client.UseStore(func() *registry.Store { return store }, brokenCloud{}, false)
	source, err := (&clients{client: client, nobody: func(string) string { return "" }}).Open("", shuin.Reference{Registry: host, Repository: "shop/app", Tag: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = source.Resolve(t.Context(), shuin.Reference{Registry: host, Repository: "shop/app", Tag: "v1"})
	if shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), "log in with the workload's identity") || shuin.HintOf(err) != "see to it" {
		t.Errorf("%v (%s)", err, shuin.HintOf(err))
	}
	for _, r := range reg.Log() {
		if strings.Contains(r.Path, "token") {
			t.Errorf("a token was asked for: %+v", r)
		}
	}
}
