package registry

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// TestSignatureManifestRules mutates one thing of a good manifest at a time.
func TestSignatureManifestRules(t *testing.T) {
	a := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	envelope := []byte("{}")
	for name, tc := range map[string]struct {
		form   form
		change func(m map[string]any)
		says   string // empty: accepted
	}{
		"OCI-02 OCI-07 artifactType form":  {form: formArtifactType},
		"OCI-03 OCI-07 legacy config form": {form: formConfig},
		"OCI-01 another media type": {form: formArtifactType, says: "mediaType is", change: func(m map[string]any) {
			m["mediaType"] = mediaTypeDockerManifest
		}},
		"OCI-01 no media type": {form: formArtifactType, says: "mediaType is", change: func(m map[string]any) { delete(m, "mediaType") }},
		"OCI-01 schemaVersion 1": {form: formArtifactType, says: "schemaVersion", change: func(m map[string]any) {
			m["schemaVersion"] = 1
		}},
		"OCI-02 artifactType with the legacy config": {form: formArtifactType, says: "config is", change: func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = shuin.ArtifactTypeSignature
		}},
		"OCI-02 another artifactType": {form: formArtifactType, says: "artifactType is", change: func(m map[string]any) {
			m["artifactType"] = "application/spdx+json"
		}},
		"OCI-03 no artifactType and the empty config": {form: formConfig, says: "neither artifactType nor", change: func(m map[string]any) {
			m["config"].(map[string]any)["mediaType"] = mediaTypeEmpty
		}},
		"OCI-03 no config":                {form: formConfig, says: "no config", change: func(m map[string]any) { delete(m, "config") }},
		"OCI-03 config without digest":    {form: formConfig, says: "config: ", change: func(m map[string]any) { delete(m["config"].(map[string]any), "digest") }},
		"OCI-03 config content ignored":   {form: formConfig, change: func(m map[string]any) { m["config"].(map[string]any)["size"] = 77 }},
		"OCI-04 no layer":                 {form: formArtifactType, says: "0 layers", change: func(m map[string]any) { m["layers"] = []any{} }},
		"OCI-04 two layers":               {form: formArtifactType, says: "2 layers", change: func(m map[string]any) { m["layers"] = append(m["layers"].([]any), m["layers"].([]any)[0]) }},
		"OCI-04 WF-03 another envelope":   {form: formArtifactType, says: "unsupported signature envelope type", change: func(m map[string]any) { layer(m)["mediaType"] = "application/pgp" }},
		"OCI-04 COSE":                     {form: formArtifactType, change: func(m map[string]any) { layer(m)["mediaType"] = shuin.MediaTypeCOSE }},
		"OCI-04 layer without digest":     {form: formArtifactType, says: "layer: ", change: func(m map[string]any) { delete(layer(m), "digest") }},
		"OCI-04 layer beyond the limit":   {form: formArtifactType, says: "EnvelopeBytes", change: func(m map[string]any) { layer(m)["size"] = limits.EnvelopeBytes + 1 }},
		"OCI-05 no subject":               {form: formArtifactType, says: "no subject", change: func(m map[string]any) { delete(m, "subject") }},
		"OCI-05 subject of another size":  {form: formArtifactType, says: "subject is", change: func(m map[string]any) { m["subject"].(map[string]any)["size"] = 6 }},
		"OCI-05 subject of another type":  {form: formArtifactType, says: "subject is", change: func(m map[string]any) { m["subject"].(map[string]any)["mediaType"] = mediaTypeImageIndex }},
		"OCI-06 without thumbprints":      {form: formArtifactType, change: func(m map[string]any) { delete(m, "annotations") }},
		"OCI-06 thumbprints are rubbish":  {form: formArtifactType, change: func(m map[string]any) { m["annotations"] = map[string]any{shuin.AnnotationThumbprints: "rubbish"} }},
		"an annotation that is no string": {form: formArtifactType, says: "not an image manifest", change: func(m map[string]any) { m["annotations"] = map[string]any{"a": 1} }},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := newManifest(tc.form, a, shuin.MediaTypeJWS, envelope, annotationsOf(1))
			if err != nil {
				t.Fatal(err)
			}
			if tc.change != nil {
				var m map[string]any
				if err := json.Unmarshal(b, &m); err != nil {
					t.Fatal(err)
				}
				tc.change(m)
				if b, err = json.Marshal(m); err != nil {
					t.Fatal(err)
				}
			}
			var sig shuin.Signature
			readManifest("read", b, a, &sig)
			switch {
			case tc.says == "" && sig.Err != nil:
				t.Errorf("refused: %v", sig.Err)
			case tc.says != "" && (sig.Err == nil || !strings.Contains(sig.Err.Error(), tc.says)):
				t.Errorf("error %v, want %q", sig.Err, tc.says)
			}
		})
	}
}

func layer(m map[string]any) map[string]any { return m["layers"].([]any)[0].(map[string]any) }

// TestManifestsAreCaseSensitiveAndHaveNoDuplicates: encoding/json would take
// these.
func TestManifestsAreCaseSensitiveAndHaveNoDuplicates(t *testing.T) {
	a := shuin.Descriptor{MediaType: mediaTypeImageManifest, Digest: digest.FromString("image"), Size: 5}
	b, _, err := newManifest(formArtifactType, a, shuin.MediaTypeJWS, []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"layers"`, `"Layers"`}, {`"subject"`, `"SUBJECT"`}, {`{"schemaVersion":2`, `{"schemaVersion":2,"schemaVersion":2`}} {
		var sig shuin.Signature
		readManifest("read", []byte(strings.Replace(string(b), change[0], change[1], 1)), a, &sig)
		if sig.Err == nil {
			t.Errorf("%s was taken", change[1])
		}
	}
}

func TestThumbprintsAreAHint(t *testing.T) {
	fp := strings.Repeat("Ab", 32)
	for in, want := range map[string]int{
		`["` + fp + `"]`:              1, // OCI-06: either case
		`["` + fp + `","` + fp + `"]`: 2,
		`[]`:                          0,
		`["short"]`:                   0,
		`"` + fp + `"`:                0,
		``:                            0,
		`[` + strings.Repeat(`"`+fp+`",`, limits.ChainLength) + `"` + fp + `"]`: 0,
	} {
		got := thumbprints(map[string]string{shuin.AnnotationThumbprints: in})
		if len(got) != want || want > 0 && got[0] != strings.ToLower(fp) {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func TestNewManifestIsWhatNotationExpects(t *testing.T) {
	a := shuin.Descriptor{MediaType: mediaTypeImageIndex, Digest: digest.FromString("image"), Size: 5, Annotations: map[string]string{"not": "copied"}}
	b, d, err := newManifest(formArtifactType, a, shuin.MediaTypeCOSE, []byte("envelope"), map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.cncf.notary.signature",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},` +
		`"layers":[{"mediaType":"application/cose","digest":"` + digest.FromString("envelope").String() + `","size":8}],` +
		`"subject":{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + a.Digest.String() + `","size":5},"annotations":{"k":"v"}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	if d.Digest != digest.FromBytes(b) || d.ArtifactType != shuin.ArtifactTypeSignature {
		t.Errorf("descriptor %+v", d)
	}
}
