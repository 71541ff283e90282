package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

// manifests is a registry of manifests by their digests, with their media types.
type manifests map[digest.Digest][2]string

func (s manifests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := s[digest.Digest(path.Base(r.URL.Path))]
	if found[0] == "busy" {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
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

// listed is the entry of an index in an index.
func listed(s manifests, d digest.Digest) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, indexType, d, len(s[d][1]))
}

func TestWhatWasPushedIsWhatItsManifestSays(t *testing.T) {
	const blob = `{"mediaType":"application/octet-stream","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	empty, envelope := strings.Replace(blob, "application/octet-stream", "application/vnd.oci.empty.v1+json", 1), strings.Replace(blob, "application/octet-stream", "application/jose+json", 1)
	const signed = `,"subject":{"mediaType":"` + manifestType + `","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
	const says = `,"artifactType":"application/vnd.cncf.notary.signature"`
	s := manifests{}
	image, imageEntry := s.put(manifestType, `{"schemaVersion":2,"mediaType":"`+manifestType+`","config":`+blob+`,"layers":[`+blob+`]}`, "")
	signature, signatureEntry := s.put(manifestType, `{"schemaVersion":2,"mediaType":"`+manifestType+`"`+says+`,"config":`+empty+`,"layers":[`+envelope+`],"annotations":{"io.cncf.notary.x509chain.thumbprint#S256":"[]"}`+signed+`}`, says)
	sbom, sbomEntry := s.put(manifestType, `{"schemaVersion":2,"mediaType":"`+manifestType+`","artifactType":"application/spdx+json","config":`+empty+`,"layers":[`+blob+`]`+signed+`}`, "")
	hidden, hiddenEntry := s.put(manifestType, `{"schemaVersion":2,"mediaType":"`+manifestType+`"`+says+`,"config":`+empty+`,"Config":`+blob+`,"layers":[`+envelope+`],"Layers":[`+blob+`]`+signed+`}`, says)
	busy, busyEntry := s.put(manifestType, "busy", "")
	s[busy] = [2]string{"busy"}
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
		doubt  shuin.Code
	}{
		"an image":                                 {image, "v1", false, ""},
		"an image under the tag of referrers":      {image, referrers, false, ""},
		"a signature":                              {signature, "", true, ""},
		"a list of signatures":                     {index(signatureEntry), referrers, true, ""},
		"a list of none":                           {index(), referrers, true, ""},
		"an index of images":                       {index(imageEntry), "v1", false, ""},
		"an index of images under that tag":        {index(imageEntry), referrers, false, ""},
		"a list that says signature of an image":   {index(signatureEntry, strings.TrimSuffix(imageEntry, "}")+says+"}"), referrers, false, ""},
		"a list of what is gone":                   {index(strings.ReplaceAll(signatureEntry, signature.Encoded(), digest.FromString("gone").Encoded())), referrers, false, ""},
		"what the registry does not have":          {digest.FromString("gone"), referrers, false, shuin.CodeNotFound},
		"a list of signatures under another's tag": {index(signatureEntry), "v1", false, ""},
		"an SBOM":                                   {sbom, "", true, ""},
		"a list of signatures and an SBOM":          {index(signatureEntry, sbomEntry), referrers, true, ""},
		"that, and an image":                        {index(signatureEntry, sbomEntry, imageEntry), referrers, false, ""},
		"a list of which a part cannot be read":     {index(signatureEntry, busyEntry), referrers, false, shuin.CodeThrottled},
		"that, and an image, which decides":         {index(busyEntry, imageEntry), referrers, false, ""},
		"what cannot be read itself":                {busy, "", false, shuin.CodeThrottled},
		"an image in other letters":                 {hidden, "", false, ""},
		"a list of an image in other letters":       {index(signatureEntry, hiddenEntry), referrers, false, ""},
		"a list in a list, of an image":             {index(signatureEntry, listed(s, index(imageEntry))), referrers, false, ""},
		"a list in a list, of signatures":           {index(signatureEntry, listed(s, index(signatureEntry))), referrers, true, ""},
		"a signature that its entry calls an image": {index(strings.Replace(signatureEntry, manifestType, "application/vnd.docker.distribution.manifest.v2+json", 1)), referrers, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			what, doubt := f.noImage(t.Context(), &ecs.Push{Registry: host, Repository: "web", Digest: c.digest, Tag: c.tag})
			if (what != "") != c.none || shuin.CodeOf(doubt) != c.doubt || (doubt != nil) != (c.doubt != "") {
				t.Errorf("it is taken for no image: %q, want %v; in doubt for %v, want %q", what, c.none, doubt, c.doubt)
			}
		})
	}
}

// TestWhatCouldNotBeLookedAtIsNotToldAsUnsigned: a registry that throttles says
// nothing of whether a list of signatures or an image was pushed.
func TestWhatCouldNotBeLookedAtIsNotToldAsUnsigned(t *testing.T) {
	s := manifests{}
	list, _ := s.put(indexType, `{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[{"mediaType":"`+manifestType+`","digest":"`+digest.FromString("busy").String()+`","size":4}]}`, "")
	s[digest.FromString("busy")] = [2]string{"busy"}
	server := httptest.NewServer(s)
	defer server.Close()
	asked := 0
	f, ear := watchedWorld(func(ctx context.Context, _ string) pipeline.Outcome {
		asked++
		tallyOf(ctx).outcome(pipeline.Deny) // as the function's own gate does
		return pipeline.Deny
	})
	f.sources = registrySources{&registry.Client{PlainHTTP: func(string) bool { return true }}}
	o := sweptTask("")
	host := strings.TrimPrefix(server.URL, "http://")
	o.Subject = watch.Subject{Kind: watch.Image, ARN: "arn:aws:ecr:eu-west-1:111122223333:repository/web@" + string(list), Group: "repository:web"}
	o.Phase, o.Where, o.Images = watch.Pushed, pipeline.Where{}, []gate.Image{{Written: host + "/web@" + string(list)}}
	pushed := func(received int) ecs.Record {
		return ecs.Record{ID: "a", Received: received, Event: ecs.Event{Kind: ecs.KindSeen, What: "push", Seen: &ecs.Seen{
			Observation: o, Push: &ecs.Push{Registry: host, Repository: "web", Digest: list, Tag: "sha256-" + digest.FromString("image").Encoded()},
		}}}
	}
	f.settings.Events.Receives = 2
	counted := &tally{}
	ctx := withTally(t.Context(), counted)
	if kept := givenBack(t, ctx, f, pushed(1)); len(kept) != 1 || len(ear.told) != 0 {
		t.Fatalf("%v are given back, told %+v", kept, ear.told)
	}
	if kept := givenBack(t, ctx, f, pushed(2)); len(kept) != 0 || len(ear.told) != 1 {
		t.Fatalf("the last time %v are given back, told %+v", kept, ear.told)
	}
	if got := ear.told[0]; got.Rule != "r" || got.Outcome != pipeline.Undecided || got.Code != shuin.CodeThrottled || !strings.HasSuffix(got.Image, "@"+string(list)) || got.Severity != watch.Low {
		t.Errorf("told %+v", got)
	}
	if kept := givenBack(t, ctx, f, pushed(2)); len(kept) != 0 || len(ear.told) != 1 {
		t.Errorf("a duplicate: %v are given back, told %+v", kept, ear.told)
	}
	if n := counted.counts(); asked != 2 || n.Undecided != 2 || n.Denied != 0 || n.Decided != 2 {
		t.Errorf("the gate was asked %d times, and counted %+v", asked, n)
	}
	s[digest.FromString("busy")] = [2]string{manifestType, "busy"} // an image for all that anybody can say
	o.Version, o.Event = o.Version+1, "later"
	if kept := givenBack(t, ctx, f, pushed(1)); len(kept) != 0 || asked != 3 || ear.told[len(ear.told)-1].Outcome != pipeline.Deny {
		t.Errorf("%v are given back, asked %d times, told %+v", kept, asked, ear.told)
	}
}

// TestWhatThePolicySaysOfAPushThatNobodyMayReadStands: where the policy asks
// nobody, nobody need look what was pushed.
func TestWhatThePolicySaysOfAPushThatNobodyMayReadStands(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer server.Close()
	f, ear := watchedWorld(func(context.Context, string) pipeline.Outcome { return pipeline.Admit })
	f.sources = registrySources{&registry.Client{PlainHTTP: func(string) bool { return true }}}
	host, d := strings.TrimPrefix(server.URL, "http://"), digest.FromString("image")
	o := sweptTask("")
	o.Subject = watch.Subject{Kind: watch.Image, ARN: "arn:aws:ecr:eu-west-1:111122223333:repository/web@" + string(d), Group: "repository:web"}
	o.Phase, o.Where, o.Images = watch.Pushed, pipeline.Where{}, []gate.Image{{Written: host + "/web@" + string(d)}}
	counted := &tally{}
	kept := givenBack(t, withTally(t.Context(), counted), f, ecs.Record{ID: "a", Received: 1, Event: ecs.Event{Kind: ecs.KindSeen, What: "push", Seen: &ecs.Seen{
		Observation: o, Push: &ecs.Push{Registry: host, Repository: "web", Digest: d, Tag: "v1"},
	}}})
	if n := counted.counts(); len(kept) != 0 || len(ear.told) != 0 || n.Undecided != 0 || n.Admitted != 1 {
		t.Errorf("%v are given back, told %+v, counted %+v", kept, ear.told, n)
	}
}
