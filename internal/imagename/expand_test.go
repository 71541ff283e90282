package imagename

import (
	"strings"
	"testing"

	"github.com/shuin/shuin"
)

// hex64 is the encoded part of a digest.
var hex64 = strings.Repeat("0123456789abcdef", 4)

func TestShortNamesAreWrittenOutAsARuntimeReadsThem(t *testing.T) {
	for written, want := range map[string]string{
		"nginx":                               "docker.io/library/nginx:latest",
		"nginx:1.27":                          "docker.io/library/nginx:1.27",
		"nginx@sha256:" + hex64:               "docker.io/library/nginx@sha256:" + hex64,
		"nginx:1.27@sha256:" + hex64:          "docker.io/library/nginx:1.27@sha256:" + hex64,
		"bitnami/redis":                       "docker.io/bitnami/redis:latest",
		"docker.io/nginx":                     "docker.io/library/nginx:latest",
		"docker.io/library/nginx":             "docker.io/library/nginx:latest",
		"index.docker.io/nginx:1":             "docker.io/library/nginx:1",
		"index.docker.io/a/b":                 "docker.io/a/b:latest",
		"registry-1.docker.io/library/nginx":  "registry-1.docker.io/library/nginx:latest",
		"localhost/app":                       "localhost/app:latest",
		"localhost:5000/app":                  "localhost:5000/app:latest",
		"localhost:5000":                      "docker.io/library/localhost:5000", // one component: a name and a tag
		"registry:5000/a/b:v1":                "registry:5000/a/b:v1",
		"ghcr.io/a/b/c@sha256:" + hex64:       "ghcr.io/a/b/c@sha256:" + hex64,
		"a/b/c":                               "docker.io/a/b/c:latest",
		"Host/app":                            "Host/app:latest", // a capital is in no repository's name
		"[::1]:5000/app":                      "[::1]:5000/app:latest",
		"public.ecr.aws/nginx/nginx:stable":   "public.ecr.aws/nginx/nginx:stable",
		"app@sha512:" + hex64 + hex64:         "docker.io/library/app@sha512:" + hex64 + hex64,
		"quay.io/prometheus/node-exporter:v1": "quay.io/prometheus/node-exporter:v1",
	} {
		got, err := Expand(written)
		if err != nil || got.String() != want {
			t.Errorf("%s: %s %v, want %s", written, got, err, want)
		}
		if again, err := Expand(got.String()); err != nil || again != got {
			t.Errorf("%s: written out twice it is %s %v", written, again, err)
		}
	}
}

func TestWhatIsNoReferenceIsRefusedSayingWhatItIs(t *testing.T) {
	for written, want := range map[string]string{
		"":                           "empty",
		"Nginx":                      "invalid repository",
		"nginx:":                     "invalid tag",
		"nginx:bad tag":              "invalid tag",
		" nginx":                     "invalid repository",
		"nginx ":                     "invalid repository",
		"https://ghcr.io/a/b":        "invalid",
		"ghcr.io/":                   "invalid repository",
		"ghcr.io/a//b":               "invalid repository",
		"a@sha256:123":               "invalid digest",
		"a@sha1:" + hex64[:40]:       "invalid digest",
		hex64:                        "ID of a local image",
		"sha256:" + hex64:            "ID of a local image",
		"<IMAGE1_NAME>":              "placeholder",
		"repo/app:${TAG}":            "placeholder",
		"{{ .Values.image }}":        "placeholder",
		strings.Repeat("a/", 600):    "limit DeployImageBytes",
		"user:secret@host.example/a": "invalid",
		"a@b@sha256:" + hex64:        "invalid",
		"nginx\n":                    "invalid",
		"файл":                       "invalid",
		"a:b:c":                      "invalid",
	} {
		if got, err := Expand(written); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s %v, want %s", written, got, err, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"nginx", "localhost:5000/a:b@sha256:" + hex64, "A/b", "docker.io/x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := Expand(s)
		if err != nil {
			return
		}
		again, err := shuin.ParseReference(ref.String())
		if err != nil || again != ref {
			t.Fatalf("%q is %s, which reads as %s %v", s, ref, again, err)
		}
		if ref.Tag == "" && ref.Digest == "" || ref.Registry == "index.docker.io" {
			t.Fatalf("%q is %s", s, ref)
		}
		if twice, err := Expand(ref.String()); err != nil || twice != ref {
			t.Fatalf("%q is %s, and that %s %v", s, ref, twice, err)
		}
	})
}
