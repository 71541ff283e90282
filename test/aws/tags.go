package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/devregistry"
)

// tags are those of a registry.
type tags struct{ registry *devregistry.Registry }

// move has a tag name what another of its repository names: REPOSITORY:TAG.
type move struct{ tag, to string }

// digest is what an image is pulled as: its own digest, or what its tag names
// now; empty: nobody has it.
func (t tags) digest(image string) string {
	if _, d, is := strings.Cut(image, "@"); is {
		return d
	}
	ref, err := shuin.ParseReference(image)
	if err != nil || t.registry == nil {
		return ""
	}
	_, body, ok := t.registry.Manifest(ref.Repository, ref.Tag)
	if !ok {
		return ""
	}
	return digest.FromBytes(body).String()
}

func (t tags) move(m move) error {
	repository, tag, _ := strings.Cut(m.tag, ":")
	elsewhere, to, _ := strings.Cut(m.to, ":")
	mediaType, body, ok := t.registry.Manifest(repository, to)
	if !ok || repository != elsewhere || tag == "" {
		return fmt.Errorf("move %s to what %s names: no such image of this repository", m.tag, m.to)
	}
	_, err := t.registry.PutManifest(repository, mediaType, body, tag)
	return err
}

// moved has a tag be moved when the next tasks of a service start: between the
// hooks before that and those after (query: tag and to, REPOSITORY:TAG each).
func (f *front) moved(w http.ResponseWriter, r *http.Request) {
	m := move{r.URL.Query().Get("tag"), r.URL.Query().Get("to")}
	if f.services.tags.digest(f.address+"/"+m.to) == "" {
		http.Error(w, "tag and to are wanted: images that are there, REPOSITORY:TAG", http.StatusBadRequest)
		return
	}
	f.services.mu.Lock()
	defer f.services.mu.Unlock()
	f.services.moves = append(f.services.moves, m)
}
