package registry

import "testing"

func TestANullAnnotationSpoilsNoListing(t *testing.T) {
	const entry = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1,"annotations":`
	for _, c := range []struct {
		name, annotations string
		ok                bool
	}{
		{"null for one", `{"x":null,"y":"z"}`, true},
		{"null for all", `null`, true},
		{"a number", `{"x":1}`, false},
		{"an object", `{"x":{}}`, false},
	} {
		index, err := parseIndex([]byte(`{"schemaVersion":2,"manifests":[` + entry + c.annotations + `}]}`))
		if (err == nil) != c.ok || c.ok && len(index.Manifests) != 1 {
			t.Errorf("%s: %d entries, %v", c.name, len(index.Manifests), err)
		}
	}
}
