package notationdir

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
)

func TestConfig(t *testing.T) {
	tests := []struct {
		name, data string
		want       Config
		err        string
	}{
		{"everything", `{"insecureRegistries": ["a:5000"], "credsStore": "pass", "credHelpers": {"b": "x"}, "signatureFormat": "cose",
			"auths": {"z": {"auth": "c2VjcmV0"}, "y": {}}, "HttpHeaders": {"X": "y"}}`,
			Config{[]string{"a:5000"}, "pass", map[string]string{"b": "x"}, "cose", authNames{"y", "z"}}, ""},
		{"an empty object", `{}`, Config{}, ""},
		{"an empty file", " \n", Config{}, ""},
		{"names are case-sensitive", `{"SignatureFormat": "cose"}`, Config{}, ""},
		{"broken", `{`, Config{}, "malformed "},
		{"a name twice", `{"credsStore": "a", "credsStore": "b"}`, Config{}, "duplicate"},
		{"a wrong kind", `{"insecureRegistries": "a"}`, Config{}, "insecureRegistries"},
		{"too large", strings.Repeat(" ", 4<<20+1), Config{}, "is larger than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := newDir(t)
			put(t, d.ConfigPath(), []byte(tt.data))
			c, err := d.Config()
			wantError(t, err, tt.err)
			if err != nil {
				if strings.Contains(err.Error(), "c2VjcmV0") || shuin.CodeOf(err).Undecided() {
					t.Error(err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, *c); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		d, _ := newDir(t)
		if c, err := d.Config(); err != nil || c.CredentialsConfigured() {
			t.Errorf("%+v, %v", c, err)
		}
	})
	t.Run("a symlink", func(t *testing.T) {
		d, _ := newDir(t)
		put(t, d.SigningKeysPath(), []byte("{}"))
		symlink(t, d.SigningKeysPath(), d.ConfigPath())
		_, err := d.Config()
		wantError(t, err, "is not a regular file (symlinks are not supported)")
	})
}

func TestCredentialsConfigured(t *testing.T) {
	for data, want := range map[string]bool{
		`{"insecureRegistries": ["a"]}`: false, `{"credsStore": "x"}`: true, `{"credHelpers": {"a": "b"}}`: true,
		`{"auths": {"a": {}}}`: true, `{"auths": {}, "credHelpers": {}, "credsStore": ""}`: false,
	} {
		d, _ := newDir(t)
		put(t, d.ConfigPath(), []byte(data))
		c, err := d.Config()
		if err != nil || c.CredentialsConfigured() != want {
			t.Errorf("%s: %v, %v", data, c.CredentialsConfigured(), err)
		}
	}
}

func TestEditConfigKeepsEveryOtherMember(t *testing.T) {
	d, _ := newDir(t)
	put(t, d.ConfigPath(), []byte(`{"HttpHeaders":{"X":["y"]},"auths":{"a":{"auth":"c2VjcmV0","email":"e"}},"insecureRegistries":["b"],"zzz":1.50,"credsStore":"old"}`))
	err := d.EditConfig(t.Context(), func(m map[string]jsontext.Value) error {
		m["credsStore"] = jsontext.Value(`"new"`)
		m["auths"] = jsontext.Value(`{"a":{"auth":"c2VjcmV0","email":"e"},"b":{}}`)
		m["credHelpers"] = jsontext.Value(`{"h":"x"}`)
		delete(m, "insecureRegistries")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(d.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	var v jsontext.Value = data
	if err := v.Compact(); err != nil {
		t.Fatal(err)
	}
	want := `{"HttpHeaders":{"X":["y"]},"auths":{"a":{"auth":"c2VjcmV0","email":"e"},"b":{}},"zzz":1.50,"credsStore":"new","credHelpers":{"h":"x"}}`
	if diff := cmp.Diff(want, string(v)); diff != "" {
		t.Error(diff)
	}
	wantPerm(t, d.ConfigPath(), 0o600)
	wantOnly(t, d.Root(), "config.json")
}

func TestEditConfigWritesOnlyWhatChanged(t *testing.T) {
	d, _ := newDir(t)
	text := `{ "credsStore":"x"}`
	put(t, d.ConfigPath(), []byte(text))
	boom := errors.New("boom")
	for name, fn := range map[string]func(map[string]jsontext.Value) error{
		"no change": func(map[string]jsontext.Value) error { return nil },
		"failure":   func(m map[string]jsontext.Value) error { clear(m); return boom },
		"no JSON":   func(m map[string]jsontext.Value) error { m["a"] = jsontext.Value("{"); return nil },
	} {
		err := d.EditConfig(t.Context(), fn)
		if (err == nil) != (name == "no change") {
			t.Errorf("%s: %v", name, err)
		}
		if data, _ := os.ReadFile(d.ConfigPath()); string(data) != text {
			t.Errorf("%s: the file is now %q", name, data)
		}
	}
	wantPerm(t, d.ConfigPath(), 0o600)
}

func TestEditConfigStartsANewFile(t *testing.T) {
	d, _ := newDir(t)
	if err := d.EditConfig(t.Context(), func(m map[string]jsontext.Value) error { m["credsStore"] = jsontext.Value(`"x"`); return nil }); err != nil {
		t.Fatal(err)
	}
	c, err := d.Config()
	if err != nil || c.CredentialsStore != "x" {
		t.Errorf("%+v, %v", c, err)
	}
	wantPerm(t, d.ConfigPath(), 0o600)
	wantPerm(t, d.Root(), 0o700)
}
