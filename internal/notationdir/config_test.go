package notationdir

import (
	"strings"
	"testing"

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
			Config{[]string{"a:5000"}, "pass", map[string]string{"b": "x"}, "cose"}, ""},
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
		if c, err := d.Config(); err != nil || !cmp.Equal(*c, Config{}) {
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
