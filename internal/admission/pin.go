package admission

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// patchType is the one that the API knows (k8s.io/api/admission/v1).
const patchType = "JSONPatch"

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// mutate pins the images of a review that plan found some in. It never denies:
// what is not let in is left as it is, and validate says why.
func (s *Server) mutate(ctx context.Context, q *question) answer {
	a := answer{response: response{Allowed: true}, outcome: Undecided}
	w, err := s.workload(ctx, q, true)
	if err != nil {
		a.err = err
		return a
	}
	v, err := s.decide(ctx, q, w)
	if err != nil {
		a.outcome, a.err = Failed, err
		return a
	}
	q.verdict = v
	switch {
	case v.Allowed:
		a.outcome = Admitted
	case v.Outcome != pipeline.Undecided:
		a.outcome = Denied
	}
	patch := q.pin()
	if len(patch) == 0 {
		return a
	}
	if a.Patch, err = json.Marshal(patch, json.Deterministic(true)); err != nil {
		a.Patch, a.outcome, a.err = nil, Failed, err
		return a
	}
	a.PatchType = patchType
	return a
}

// pin is the patch that writes each image that is let in as its digest.
func (q *question) pin() []operation {
	base := "/" + strings.Join(q.path, "/")
	var out []operation
	written := map[string]string{} // of what is pinned here
	for i := range q.images {
		m, iv := &q.images[i], &q.verdict.Images[i]
		if !iv.Allowed || q.fixed(m) || q.expanded[i].digested || q.expanded[i].err != nil || iv.Pinned == "" || iv.Digest() == "" {
			continue
		}
		out = append(out, operation{"replace", base + m.pointer(), iv.Pinned})
		written[m.place()] = m.written
	}
	q.pinned = len(out)
	if q.subresource == "" { // a subresource leaves metadata as they are
		out = append(out, q.annotate(written)...)
	}
	return out
}

// annotate keeps the images as they were written. What an earlier call kept
// stays for as long as its image does.
func (q *question) annotate(written map[string]string) []operation {
	meta := &q.subject.pod
	var old map[string]string
	if q.before != nil {
		old = kept(q.before.pod.written)
	}
	for place, was := range kept(meta.written) {
		if _, anew := written[place]; !anew && q.stays(place, old[place] != was) {
			written[place] = was
		}
	}
	base := "/" + strings.Join(append(slices.Clone(q.path[:len(q.path)-1]), "metadata"), "/")
	path := base + "/annotations/" + strings.ReplaceAll(ImagesAnnotation, "/", "~1")
	if len(written) == 0 {
		if q.pinned == 0 && q.operation == opUpdate && meta.hasWritten {
			return []operation{{Op: "remove", Path: path}}
		}
		return nil
	}
	text, err := json.Marshal(written, json.Deterministic(true))
	switch {
	case err != nil || len(text) > limits.AdmissionImagesBytes || string(text) == meta.written:
		return nil
	case meta.others+len(ImagesAnnotation)+len(text) > limits.AdmissionAnnotations:
		return nil // the API server would refuse the object for it
	case q.pinned == 0 && q.operation == opCreate:
		return nil // whoever wrote it
	case !meta.there:
		return []operation{{"add", base, map[string]any{"annotations": map[string]string{ImagesAnnotation: string(text)}}}}
	case !meta.annotated:
		return []operation{{"add", base + "/annotations", map[string]string{ImagesAnnotation: string(text)}}}
	}
	return []operation{{"add", path, string(text)}}
}

// kept is what an annotation of ours says; anybody can have written it.
func kept(text string) map[string]string {
	var out map[string]string
	if text == "" || len(text) > limits.AdmissionImagesBytes || json.Unmarshal([]byte(text), &out) != nil {
		return nil
	}
	return out
}

// stays says whether what the annotation keeps of a place is still about the
// digest there: it is not where an update brought another, unless the
// annotation came with it, from a call of ours before this one.
func (q *question) stays(place string, anew bool) bool {
	for i := range q.subject.images {
		m := &q.subject.images[i]
		if m.place() == place && strings.Contains(m.written, "@") {
			return anew || q.before == nil || len(q.fresh(q.subject.images[i:i+1])) == 0
		}
	}
	return false
}
