package gateapi

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shuin/shuin/internal/limits"
)

// FuzzDecideRequest: no body makes the decoder panic; what it accepts names
// images within its bounds, and has no member twice, whatever another decoder
// makes of it.
func FuzzDecideRequest(f *testing.F) {
	f.Add([]byte(about(openImage)))
	f.Add([]byte(`{"images":[{"name":"a","image":"` + openImage + `","running":"` + testDigest + `"}],"cluster":"c","namespace":"n","pins":true}`))
	f.Add([]byte(`{"images":[{"image":"a"}],"images":[]}`))
	f.Add([]byte(`{"images":[{"image":"a","Image":"b"}]}`))
	f.Add([]byte(`{"images":null}`))
	f.Add([]byte("{\"images\":[{\"image\":\"\xc3\x28\"}]}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		w, failed := decode(body)
		if failed != nil {
			if statuses[failed.code] == 0 || !utf8.ValidString(failed.message) || len(failed.message) > 2048 {
				t.Fatalf("a failure of the code %q: %q", failed.code, failed.message)
			}
			return
		}
		if len(w.Images) == 0 || len(w.Images) > limits.GateImages || len(w.Where.Cluster) > limits.GateAPINameBytes {
			t.Fatalf("accepted beyond its bounds: %d images", len(w.Images))
		}
		var loose request
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("accepted, and no JSON: %v", err)
		}
		if len(loose.Images) != len(w.Images) || loose.Cluster != w.Where.Cluster || loose.Pins != w.Pins {
			t.Fatalf("another decoder reads %+v", loose)
		}
		for i, one := range loose.Images {
			if one.Image != w.Images[i].Written || one.Image == "" || strings.ContainsRune(one.Name, 0) {
				t.Fatalf("image %d is %q, and for another decoder %q", i, w.Images[i].Written, one.Image)
			}
		}
	})
}
