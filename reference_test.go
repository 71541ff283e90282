package shuin_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
)

const d256 = digest.Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

func TestParseReference(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     shuin.Reference
		bad      string // part of the error; empty when good
	}{
		{"tag", "localhost:5000/app:v1", shuin.Reference{Registry: "localhost:5000", Repository: "app", Tag: "v1"}, ""},
		{"digest", "r.example/a/b@" + string(d256), shuin.Reference{Registry: "r.example", Repository: "a/b", Digest: d256}, ""},
		{"tag and digest are both kept", "r.example/a:v1@" + string(d256), shuin.Reference{Registry: "r.example", Repository: "a", Tag: "v1", Digest: d256}, ""},
		{"neither is a reference still", "r.example/a", shuin.Reference{Registry: "r.example", Repository: "a"}, ""},
		{"an IPv6 registry", "[::1]:5000/a:v1", shuin.Reference{Registry: "[::1]:5000", Repository: "a", Tag: "v1"}, ""},
		{"a short name is not expanded", "alpine:3", shuin.Reference{}, "no registry named"},
		{"empty", "", shuin.Reference{}, "missing reference"},
		{"an upper-case repository", "r.example/App:v1", shuin.Reference{}, "invalid repository"},
		{"a path out of the repository", "r.example/../x:v1", shuin.Reference{}, "invalid repository"},
		{"a query in the registry", "r.example?x=/a:v1", shuin.Reference{}, "invalid registry"},
		{"user information in the registry", "u:p/a", shuin.Reference{}, "invalid registry"},
		{"an empty tag", "r.example/a:", shuin.Reference{}, "invalid tag"},
		{"a tag of 129 bytes", "r.example/a:" + strings.Repeat("x", 129), shuin.Reference{}, "invalid tag"},
		{"a short digest", "r.example/a@sha256:abc", shuin.Reference{}, "invalid digest"},
		{"an unknown digest algorithm", "r.example/a@md5:d41d8cd98f00b204e9800998ecf8427e", shuin.Reference{}, "invalid digest"},
		{"a name over 255 bytes", "r.example/" + strings.Repeat("a", 255), shuin.Reference{}, "invalid repository"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := shuin.ParseReference(c.in)
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Fatalf("got %+v, error %v; want an error with %q", got, err, c.bad)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %+v, error %v; want %+v", got, err, c.want)
			}
			if got.String() != c.in {
				t.Errorf("String() = %q, want %q", got, c.in)
			}
		})
	}
}

func TestARegistryHasOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"r.example/a:v1":                     "",
		"r.example:5000/a/b@" + string(d256): "",
		"localhost:80/a":                     "",
		"10.0.0.1:5000/a":                    "",
		"[::1]:5000/a:v1":                    "",
		"docker.io/library/alpine:3":         "",
		"docker.io/owner/app:3":              "",
		"r.example/index.docker.io/a":        "",
		"index.docker.io:5000/a":             "",
		"R.Example/a:V1":                     "r.example/a:V1",
		"r.example:443/a:v1":                 "r.example/a:v1",
		"r.example:00443/a":                  "r.example/a",
		"r.example:05000/a":                  "r.example:5000/a",
		"r.example:00000/a":                  "r.example:0/a",
		"[::1]:443/a":                        "[::1]/a",
		"[0:0:0:0:0:0:0:1]:5000/a":           "[::1]:5000/a",
		"[FE80::A]/a":                        "[fe80::a]/a",
		"[::ffff:10.0.0.1]:5000/a":           "10.0.0.1:5000/a",
		"docker.io/alpine:3":                 "docker.io/library/alpine:3",
		"Docker.IO/alpine:3":                 "docker.io/library/alpine:3",
		"docker.io:443/alpine:3":             "docker.io/library/alpine:3",
		"index.docker.io/library/alpine":     "docker.io/library/alpine",
		"index.docker.io:443/alpine":         "docker.io/library/alpine",
		"registry-1.docker.io/owner/app":     "docker.io/owner/app",
		"registry.hub.docker.com/alpine":     "docker.io/library/alpine",
	} {
		if want == "" {
			want = in
		}
		r, err := shuin.ParseReference(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := r.Canonical(); got.String() != want || got.Canonical() != got {
			t.Errorf("%s: canonical %s, want %s", in, got, want)
		}
	}
	if l := (shuin.Reference{Layout: "Out/Layout", Tag: "v1"}); l.Canonical() != l {
		t.Error("the path of a layout was changed")
	}
}

func TestParseLayoutReference(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     shuin.Reference
		ok       bool
	}{
		{"tag", "out/layout:v1", shuin.Reference{Layout: "out/layout", Tag: "v1"}, true},
		{"digest", "layout@" + string(d256), shuin.Reference{Layout: "layout", Digest: d256}, true},
		{"a drive letter is no tag", `C:\layouts\app:v1`, shuin.Reference{Layout: `C:\layouts\app`, Tag: "v1"}, true},
		{"neither", "layout", shuin.Reference{}, false},
		{"a bad digest", "layout@sha256:1", shuin.Reference{}, false},
		{"a digest of no directory", "@" + string(d256), shuin.Reference{}, false},
		{"a tag of no directory", ":v1", shuin.Reference{}, false},
		{"empty", "", shuin.Reference{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := shuin.ParseLayoutReference(c.in)
			if (err == nil) != c.ok || got != c.want {
				t.Errorf("got %+v, error %v; want %+v, ok %t", got, err, c.want, c.ok)
			}
		})
	}
}

func TestAnArtifactAlwaysHasTheDigestAskedFor(t *testing.T) {
	ref := shuin.Reference{Registry: "r.example", Repository: "a", Digest: d256}
	good := shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d256, Size: 2}
	if a, err := shuin.NewArtifact(ref, good); err != nil || a.String() != "r.example/a@"+string(d256) {
		t.Errorf("NewArtifact = %v, %v", a, err)
	}
	other := good
	other.Digest = digest.FromString("other")
	for name, desc := range map[string]shuin.Descriptor{
		"another digest": other,
		"no digest":      {MediaType: good.MediaType},
		"no media type":  {Digest: d256},
		"negative size":  {MediaType: good.MediaType, Digest: d256, Size: -1},
	} {
		if a, err := shuin.NewArtifact(ref, desc); err == nil {
			t.Errorf("%s: accepted as %v", name, a)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"localhost:5000/app:v1", "r.example/a/b@" + string(d256), "[::1]:1/a", "a/b:c@d", "//", "@", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := shuin.ParseReference(s); err == nil {
			if r.String() != s {
				t.Errorf("ParseReference(%q).String() = %q", s, r)
			}
			if c := r.Canonical(); c.Canonical() != c {
				t.Errorf("ParseReference(%q).Canonical() = %q, whose canonical form is %q", s, c, c.Canonical())
			}
			if r.Registry == "" || r.Repository == "" || r.Layout != "" {
				t.Errorf("ParseReference(%q) = %+v", s, r)
			}
		}
		if r, err := shuin.ParseLayoutReference(s); err == nil && (r.Layout == "" || r.Registry != "" || r.String() != s) {
			t.Errorf("ParseLayoutReference(%q) = %+v", s, r)
		}
	})
}
