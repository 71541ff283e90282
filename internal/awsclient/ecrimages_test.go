package awsclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
)

func TestEveryImageOfARepositoryIsListedTaggedOrNot(t *testing.T) {
	s := newService(t)
	a, b := digest.FromString("a"), digest.FromString("b")
	s.answer = func(out http.ResponseWriter, r *http.Request) {
		if body := s.bodies[len(s.bodies)-1]; strings.Contains(body, `"nextToken":"page-2"`) {
			fmt.Fprintf(out, `{"imageDetails":[{"imageDigest":%q,"imageSizeInBytes":3,"artifactMediaType":"application/vnd.cncf.notary.signature","new":{}}]}`, b)
			return
		}
		fmt.Fprintf(out, `{"imageDetails":[{"registryId":"1","imageDigest":%q,"imageTags":["v2","v1","v2"],"imagePushedAt":1.7672E9,"imageManifestMediaType":"application/vnd.oci.image.manifest.v1+json"}],"nextToken":"page-2"}`, a)
	}
	var got []ECRImage
	pages := 0
	err := s.clients.ECRImages(t.Context(), ecrHost(t, usHost), "", "team/app", "", func(p []ECRImage, _ string) error {
		got, pages = append(got, p...), pages+1
		return nil
	})
	want := []ECRImage{
		{Digest: a, Tags: []string{"v1", "v2"}, Pushed: time.Unix(1767200000, 0).UTC(), MediaType: "application/vnd.oci.image.manifest.v1+json"},
		{Digest: b, ArtifactType: "application/vnd.cncf.notary.signature"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || pages != 2 {
		t.Errorf("%v, %d pages %s", err, pages, diff)
	}
	r := s.seen[0]
	if r.Host != "api.ecr.us-west-2.amazonaws.com" || r.Header.Get("X-Amz-Target") != "AmazonEC2ContainerRegistry_V20150921.DescribeImages" ||
		!strings.Contains(r.Header.Get("Authorization"), "/us-west-2/ecr/aws4_request") {
		t.Errorf("asked %s with %v", r.Host, r.Header)
	}
	if want := `{"maxResults":250,"registryId":"111122223333","repositoryName":"team/app"}`; s.bodies[0] != want {
		t.Errorf("asked %s", s.bodies[0])
	}
}

func TestAListingOfImagesThatFailsSaysWhy(t *testing.T) {
	d := digest.FromString("a")
	for name, c := range map[string]struct {
		status int
		body   string
		want   shuin.Code
		hint   string
	}{
		"no such repository": {400, `{"__type":"RepositoryNotFoundException","message":"gone"}`, shuin.CodeNotFound, "no such repository"},
		"not allowed":        {400, `{"__type":"AccessDeniedException","message":"no"}`, shuin.CodeForbidden, "allow ecr:DescribeImages on arn:aws:ecr:us-west-2:111122223333:repository/app"},
		"no JSON":            {200, `<html>`, shuin.CodeMalformed, ""},
		"no digest":          {200, `{"imageDetails":[{"imageTags":["a"]}]}`, shuin.CodeMalformed, ""},
		"no tag":             {200, fmt.Sprintf(`{"imageDetails":[{"imageDigest":%q,"imageTags":["a b"]}]}`, d), shuin.CodeMalformed, ""},
		"in a circle":        {200, `{"imageDetails":[],"nextToken":"again"}`, shuin.CodeMalformed, ""},
		"too long":           {200, `{"x":"` + strings.Repeat("x", 2<<20) + `"}`, shuin.CodeLimit, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.answer = func(out http.ResponseWriter, _ *http.Request) {
				out.WriteHeader(c.status)
				fmt.Fprint(out, c.body)
			}
			err := s.clients.ECRImages(t.Context(), ecrHost(t, usHost), "", "app", "", func([]ECRImage, string) error { return nil })
			if shuin.CodeOf(err) != c.want || !strings.Contains(shuin.HintOf(err), c.hint) {
				t.Errorf("%v (%s), hint %q", err, shuin.CodeOf(err), shuin.HintOf(err))
			}
		})
	}
	s := newService(t)
	if err := s.clients.ECRImages(t.Context(), ecrHost(t, "public.ecr.aws"), "", "app", "", nil); shuin.CodeOf(err) != shuin.CodeInvalidInput || len(s.seen) != 0 {
		t.Errorf("the public registry: %v", err)
	}
	s.answer = func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `{"imageDetails":[]}`) }
	stop := errors.New("enough")
	if err := s.clients.ECRImages(t.Context(), ecrHost(t, usHost), "", "app", "", func([]ECRImage, string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

func TestAListingOfImagesGoesOnFromAPage(t *testing.T) {
	s := newService(t)
	s.answer = func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, `{"imageDetails":[]}`) }
	if err := s.clients.ECRImages(t.Context(), ecrHost(t, usHost), "", "app", "page-2", func(_ []ECRImage, next string) error {
		if next != "" {
			t.Errorf("next is %q", next)
		}
		return nil
	}); err != nil || len(s.bodies) != 1 || !strings.Contains(s.bodies[0], `"nextToken":"page-2"`) {
		t.Errorf("%v %v", err, s.bodies)
	}
}

func TestWhatIsNoTimeIsNoPush(t *testing.T) {
	for in, want := range map[string]time.Time{
		"":              {},
		"null":          {},
		"-1":            {},
		"1e300":         {},
		`"2026"`:        {},
		"1767200000.25": time.UnixMilli(1767200000250).UTC(),
	} {
		if got := pushedAt([]byte(in)); !got.Equal(want) {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func FuzzECRImages(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(`{"imageDetails":[{"imageDigest":%q,"imageTags":["a"],"imagePushedAt":1.5}],"nextToken":"x"}`, digest.FromString("a"))))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		images, _, err := readECRImages(data, "list")
		if err != nil && images != nil {
			t.Fatal("images beside an error")
		}
		for _, i := range images {
			if i.Digest.Validate() != nil {
				t.Fatalf("%q is no digest", i.Digest)
			}
			for _, tag := range i.Tags {
				if !shuin.ValidTag(tag) {
					t.Fatalf("%q is no tag", tag)
				}
			}
		}
	})
}
