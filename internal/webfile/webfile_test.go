package webfile_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/webfile"
)

const token = "edge-token-0123456789-0123456789"

func TestAFileIsReadAgainWhenItChanged(t *testing.T) {
	text, sent := "one", 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tag := `"` + text + `"`
		w.Header().Set("ETag", tag)
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			w.WriteHeader(http.StatusUnauthorized)
		case r.Header.Get("If-None-Match") == tag:
			w.WriteHeader(http.StatusNotModified)
		default:
			sent++
			fmt.Fprint(w, text)
		}
	}))
	defer server.Close()
	forgotten := 0
	good := true
	c := &webfile.Client{Refused: func() { forgotten++ }, Token: func(context.Context) (string, error) {
		if good {
			return token, nil
		}
		return "another", nil
	}}
	first, err := c.Read(t.Context(), server.URL+"/v1/policy", 10, nil)
	if err != nil || string(first.Data) != "one" {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := c.Read(t.Context(), server.URL+"/v1/policy", 10, first)
	if err != nil || again != first || sent != 1 {
		t.Errorf("what has not changed was sent %d times (%v)", sent, err)
	}
	text = "two"
	if second, err := c.Read(t.Context(), server.URL+"/v1/policy", 10, first); err != nil || string(second.Data) != "two" {
		t.Errorf("%+v, %v", second, err)
	}
	good = false
	if _, err := c.Read(t.Context(), server.URL+"/v1/policy", 10, first); shuin.CodeOf(err) != shuin.CodeUnauthorized || forgotten != 1 {
		t.Errorf("with another token: %v, told %d times", err, forgotten)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token was sent elsewhere: %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		code   shuin.Code
	}{
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, shuin.CodeUnauthorized},
		{"403", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, shuin.CodeForbidden},
		{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, shuin.CodeNotFound},
		{"429", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, shuin.CodeThrottled},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, shuin.CodeUnavailable},
		{"418", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }, shuin.CodeMalformed},
		{"304 that nobody asked for", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, shuin.CodeInvalidInput},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, shuin.CodeInvalidInput},
		{"too large", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 11)) }, shuin.CodeLimit},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			fmt.Fprint(w, "x")
		}, shuin.CodeUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			client := &webfile.Client{Token: func(context.Context) (string, error) { return token, nil }}
			f, err := client.Read(t.Context(), server.URL+"/x", 10, nil)
			if f != nil || shuin.CodeOf(err) != c.code {
				t.Errorf("%+v, code %s (%v), want %s", f, shuin.CodeOf(err), err, c.code)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := (&webfile.Client{}).Read(t.Context(), server.URL+"/x", 10, nil); shuin.CodeOf(err) != shuin.CodeUnavailable {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&webfile.Client{}).Read(ctx, server.URL+"/x", 10, nil); shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("%v", err)
	}
	c := &webfile.Client{Token: func(context.Context) (string, error) {
		return "", &shuin.Error{Code: shuin.CodeInvalidInput, Err: errors.New("it is not set")}
	}}
	if _, err := c.Read(t.Context(), server.URL+"/x", 10, nil); shuin.CodeOf(err) != shuin.CodeInvalidInput {
		t.Errorf("without a token: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"https://shuin.example.com/v1/policy": true, "https://shuin.example.com:8444/a/b": true, "http://127.0.0.1:8444/v1/policy": true, "http://localhost/x": true, "http://[::1]:1/x": true,
		"http://shuin.example.com/v1/policy": false, "https://shuin.example.com": false, "https://u:p@shuin.example.com/x": false, "https://shuin.example.com/x?y": false, "https://shuin.example.com/x?": false,
		"https://shuin.example.com/x#y": false, "https:///x": false, "ftp://shuin.example.com/x": false, "s3://bucket/key": false, "policy.json": false, "": false, "https://%": false,
	} {
		if err := webfile.Check(address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}
