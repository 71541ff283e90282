package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

var (
	one = "sha256:" + strings.Repeat("1", 64)
	two = "sha256:" + strings.Repeat("2", 64)
)

// seen is a Built in short: its digest and names, by spaces.
func seen(images []Built) (out []string) {
	for _, b := range images {
		s := b.Digest.String()
		for _, n := range b.Names {
			n.Digest = ""
			s += " " + n.String()
		}
		out = append(out, s)
	}
	return out
}

func TestFilesOfBuildToolsNameTheImagesThatWereMade(t *testing.T) {
	image := `"containerimage.config.digest": "` + two + `", "containerimage.digest": "` + one + `"`
	for name, tt := range map[string]struct {
		file string
		want []string
	}{
		"buildx": {`{"buildx.build.provenance": {"a": [1]}, "buildx.build.ref": "b/b0/x", "containerimage.descriptor": {"mediaType": "m", "digest": "` + one + `", "size": 1, "annotations": {"x": "y"}}, ` + image + `, "image.name": "docker.io/user/shop:v1,r.test:5000/shop:v1"}`,
			[]string{one + " docker.io/user/shop:v1 r.test:5000/shop:v1"}},
		"buildx without a name":        {"\n{" + image + "}\n", []string{one}},
		"a short name is Docker Hub's": {`{` + image + `, "image.name": "shop"}`, []string{one + " docker.io/library/shop:latest"}},
		"bake, with a target that makes no image": {`{"buildx.build.warnings": {}, "note": 1, "docs": {"buildx.build.ref": "x"}, "web": {` + image + `, "image.name": "r.test/web:v1"}, "db": {"containerimage.digest": "` + two + `"}}`,
			[]string{two, one + " r.test/web:v1"}},
		"a digest file":                   {one, []string{one}},
		"a digest file with a line's end": {one + "\r\n", []string{one}},
		"references of ko":                {"r.test/a@" + one + "\nr.test/b:v1@" + two + "\n", []string{one + " r.test/a", two + " r.test/b:v1"}},
	} {
		got, err := ReadBuilt([]byte(tt.file))
		if diff := cmp.Diff(tt.want, seen(got)); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestWhatNoBuildToolWritesIsRefusedSayingWhy(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"nothing":                       {" \n", "the file is empty"},
		"an object without a digest":    {`{"containerimage.config.digest": "` + one + `"}`, "containerimage.digest is missing"},
		"another object":                {`{"Containerimage.digest": "` + one + `"}`, "containerimage.digest is missing"},
		"an array":                      {`["` + one + `"]`, "neither a build tool's JSON"},
		"a member twice":                {`{"containerimage.digest": "` + one + `", "containerimage.digest": "` + two + `"}`, "duplicate"},
		"a target's member twice":       {`{"t": {"containerimage.digest": "` + one + `", "containerimage.digest": "` + two + `"}}`, "duplicate"},
		"half an object":                {`{"containerimage.digest": "` + one + `"`, "not the JSON of a build tool"},
		"two objects":                   {`{"containerimage.digest": "` + one + `"}{}`, "not the JSON of a build tool"},
		"a digest that is a number":     {`{"containerimage.digest": 1}`, "containerimage.digest is not a string"},
		"a digest that is null":         {`{"containerimage.digest": null}`, "containerimage.digest is not a string"},
		"names as a list":               {`{"containerimage.digest": "` + one + `", "image.name": ["a"]}`, "image.name is not a string"},
		"an empty name":                 {`{"containerimage.digest": "` + one + `", "image.name": "r.test/a:v1,"}`, "image.name"},
		"another algorithm":             {`{"containerimage.digest": "sha512:` + strings.Repeat("1", 128) + `"}`, "is sha512: build tools name images by sha256"},
		"no digest's algorithm":         {`{"containerimage.digest": "md5:` + strings.Repeat("1", 32) + `"}`, "is no digest"},
		"a descriptor of another":       {`{"containerimage.digest": "` + one + `", "containerimage.descriptor": {"digest": "` + two + `"}}`, "which is meant is not clear"},
		"a descriptor that is none":     {`{"containerimage.digest": "` + one + `", "containerimage.descriptor": 1}`, "containerimage.descriptor"},
		"a bad target":                  {`{"t": {"image.name": "a"}}`, `target "t": containerimage.digest is missing`},
		"half a digest":                 {one[:70], "is no digest"},
		"another algorithm in one line": {"sha512:" + strings.Repeat("1", 128), "is sha512"},
		"two digests":                   {one + "\n" + two, "line 1: "},
		"a reference without a digest":  {"r.test/a:v1", `line 1: "r.test/a:v1" has no digest`},
		"an empty line":                 {"r.test/a@" + one + "\n\nr.test/b@" + two, "line 2: "},
		"a reference by sha512":         {"r.test/a@sha512:" + strings.Repeat("1", 128), "line 1: "},
		"too many lines":                {strings.Repeat("r.test/a@"+one+"\n", limits.BuiltImages+1), "limit BuiltImages"},
		"too many names":                {`{"containerimage.digest": "` + one + `", "image.name": "` + strings.Repeat("r.test/a,", limits.BuiltImages) + `r.test/a"}`, "limit BuiltImages"},
	} {
		got, err := ReadBuilt([]byte(tt.file))
		if err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", name, got, err, tt.want)
		}
	}
}

func TestAnImageIsFoundByItsRepositoryInAnySpelling(t *testing.T) {
	images, err := ReadBuilt([]byte("index.docker.io/library/shop@" + one + "\nR.test:443/a@" + two + "\nr.test/a@" + two + "\nr.test/a@" + one + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]digest.Digest{
		"docker.io/shop": {digest.Digest(one)}, "r.test/a": {digest.Digest(two), digest.Digest(one)}, "r.test/b": nil,
	} {
		ref, err := shuin.ParseReference(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, DigestsIn(images, ref)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{"docker.io/library/shop", "r.test/a"}, Repositories(images)); diff != "" {
		t.Error(diff)
	}
}

func FuzzBuilt(f *testing.F) {
	f.Add([]byte(one))
	f.Add([]byte("r.test/a@" + one + "\nr.test/b:v1@" + two + "\n"))
	f.Add([]byte(`{"t": {"containerimage.digest": "` + one + `", "image.name": "r.test/a:v1,shop", "containerimage.descriptor": {"digest": "` + one + `"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		images, err := ReadBuilt(data)
		if err != nil {
			return
		}
		if len(images) == 0 {
			t.Fatal("no image and no error")
		}
		for _, b := range images {
			if b.Digest.Algorithm() != digest.SHA256 || b.Digest.Validate() != nil {
				t.Fatalf("digest %q", b.Digest)
			}
			for _, n := range b.Names {
				if back, err := shuin.ParseReference(n.String()); err != nil || back != n {
					t.Fatalf("%v: %v %v", n, back, err)
				}
			}
		}
	})
}
