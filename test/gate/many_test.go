package gate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/gate"
)

// Whatever is asked about together with an image, in one request or in one
// file, in whatever order and however often, its answer is the one it gets
// alone.
func TestAnImageIsAnsweredTogetherWithOthersAsAlone(t *testing.T) {
	s := newScene(t)
	var images []string
	for _, c := range []struct {
		repository string
		seals      []sealed
	}{
		{"shop/none", nil},
		{"shop/built", []sealed{{By: "build"}}},
		{"shop/expired", []sealed{{By: "build"}, {By: "test", Fault: "expired"}}},
		{"shop/open", []sealed{{By: "build"}, {By: "test", Fault: "blob-500"}, {By: "scan", Metadata: map[string]string{"critical": "0"}}}},
		{"warn/none", nil},
		{"lenient/open", []sealed{{By: "build", Fault: "blob-500"}}},
		{"any/scanned", []sealed{{By: "scan", Metadata: map[string]string{"critical": "0"}}}},
		{"other/unknown", []sealed{{By: "build"}}},
	} {
		im := s.single(c.repository, "")
		for _, one := range c.seals {
			s.seal(im, one)
		}
		images = append(images, s.digested(im))
	}
	images = append(images, s.digested(s.good("shop/good", "")))
	images = append(images, images...) // each twice
	q := s.about("three", "")

	alone := make([]string, len(images))
	for i, written := range images {
		q.written = written
		alone[i] = askAPI(t, q).Images[0].compared()
	}

	w := gate.Workload{}
	for _, written := range images {
		w.Images = append(w.Images, gate.Image{Written: written})
	}
	url := newServer(t, newGate(t, q.policy, true))
	for range 2 {
		status, body := post(t, url, w)
		var v verdict
		if err := json.Unmarshal(body, &v); err != nil || status != http.StatusOK || len(v.Images) != len(images) || v.Allowed || v.Outcome == "admit" {
			t.Fatalf("status %d, %v: %s", status, err, body)
		}
		for i := range images {
			if diff := cmp.Diff(alone[i], v.Images[i].compared()); diff != "" {
				t.Errorf("POST /v1/decide, image %d (-alone +together):\n%s", i, diff)
			}
		}
	}

	// A workload for each, and one with them all.
	var text strings.Builder
	pod := func(name string, images ...string) {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  containers:\n", name)
		for i, written := range images {
			fmt.Fprintf(&text, "    - {name: c%d, image: %q}\n", i, written)
		}
	}
	for i, written := range images {
		pod(fmt.Sprint("p", i), written)
	}
	pod("all", images...)
	sh := q.shell(t, "check")
	file := filepath.Join(sh.dir, "pods.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	sh.args = append(sh.args, file)
	stdout, stderr, status := sh.run(t)
	var list []struct{ Verdict verdict }
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != len(images)+1 || status != 1 {
		t.Fatalf("check: status %d, %v: %s%s", status, err, stdout, stderr)
	}
	for i := range images {
		for where, got := range map[string]*imageVerdict{"alone in a Pod": &list[i].Verdict.Images[0], "in a Pod with all": &list[len(images)].Verdict.Images[i]} {
			if diff := cmp.Diff(alone[i], got.compared()); diff != "" {
				t.Errorf("check, image %d %s (-alone +together):\n%s", i, where, diff)
			}
		}
	}
}
