package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/registry"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

// manifests is a registry of manifests by their digests, with their media types.
type manifests map[digest.Digest][2]string

func (s manifests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := s[digest.Digest(path.Base(r.URL.Path))]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", found[0])
	w.Header().Set("Content-Length", strconv.Itoa(len(found[1])))
	w.Header().Set("Docker-Content-Digest", path.Base(r.URL.Path))
	if r.Method == http.MethodGet {
		fmt.Fprint(w, found[1])
	}
}

// put puts a manifest there, and gives its entry of an index, with what that
// says of it besides.
func (s manifests) put(mediaType, text, besides string) (digest.Digest, string) {
	d := digest.FromString(text)
	s[d] = [2]string{mediaType, text}
	return d, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, mediaType, d, len(text), besides)
}

func TestWhatWasPushedIsWhatItsManifestSays(t *testing.T) {
	const blob = `{"mediaType":"application/octet-stream","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	empty, envelope := strings.Replace(blob, "application/octet-stream", "application/vnd.oci.empty.v1+json", 1), strings.Replace(blob, "application/octet-stream", "application/jose+json", 1)
	const signed = `,"subject":{"mediaType":"` + manifestType + `","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	const says = `,"artifactType":"application/vnd.cncf.notary.signature"`
	s := manifests{}
	image, imageEntry := s.put(manifestType, `{"schemaVersion":2,"mediaType":"`+manifestType+`","config":`+blob+`,"layers":[`+blob+`]}`, "")
	signature, signatureEntry := s.put(manifestType, `{"schemaVersion":2,"mediaType":"`+manifestType+`"`+says+`,"config":`+empty+`,"layers":[`+envelope+`],"annotations":{"io.cncf.notary.x509chain.thumbprint#S256":"[]"}`+signed+`}`, says)
	index := func(entries ...string) digest.Digest {
		d, _ := s.put(indexType, `{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[`+strings.Join(entries, ",")+`]}`, "")
		return d
	}
	server := httptest.NewServer(s)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	f := &function{sources: registrySources{&registry.Client{PlainHTTP: func(string) bool { return true }}}}
	referrers := "sha256-" + image.Encoded()
	for name, c := range map[string]struct {
		digest digest.Digest
		tag    string
		none   bool
	}{
		"an image":                                 {image, "v1", false},
		"an image under the tag of referrers":      {image, referrers, false},
		"a signature":                              {signature, "", true},
		"a list of signatures":                     {index(signatureEntry), referrers, true},
		"a list of none":                           {index(), referrers, true},
		"an index of images":                       {index(imageEntry), "v1", false},
		"an index of images under that tag":        {index(imageEntry), referrers, false},
		"a list that says signature of an image":   {index(signatureEntry, strings.TrimSuffix(imageEntry, "}")+says+"}"), referrers, false},
		"a list of what is gone":                   {index(strings.ReplaceAll(signatureEntry, signature.Encoded(), digest.FromString("gone").Encoded())), referrers, false},
		"what the registry does not have":          {digest.FromString("gone"), referrers, false},
		"a list of signatures under another's tag": {index(signatureEntry), "v1", false},
	} {
		t.Run(name, func(t *testing.T) {
			what := f.noImage(t.Context(), &ecs.Push{Registry: host, Repository: "web", Digest: c.digest, Tag: c.tag})
			if (what != "") != c.none {
				t.Errorf("it is taken for no image: %q, want %v", what, c.none)
			}
		})
	}
}
