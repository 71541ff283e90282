package pipeline

import (
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// exceptionIndex finds the exceptions for an image without looking at those for
// others: a baseline may list thousands. The cost of a question grows with the
// patterns that have stars, not with exact names.
type exceptionIndex struct {
	exceptions []exception // that are indexed: numbers below are places in it
	// Exceptions by the exact names among their images, each once under a name,
	// that which lasts longest first.
	exact map[exactImage][]int
	// Images with stars: without a digest, and by their digest.
	wild         []wildImage
	wildByDigest map[digest.Digest][]wildImage
	// Where and until when some digest is excepted: by exact name, and by
	// patterns.
	digests     map[string][]span
	wildDigests []wildSpan
}

// exactImage is a repository and one of its digests, or all of them (empty).
type exactImage struct {
	repository string
	digest     digest.Digest
}

type wildImage struct {
	*pattern
	exception int
}

// span is a place, and the end of what holds there longest.
type span struct {
	place   *place
	expires time.Time
}

type wildSpan struct {
	*pattern
	span
}

// indexExceptions makes the index in time linear in the images (but for
// sorting what is listed under one name).
func indexExceptions(exceptions []exception) *exceptionIndex {
	x := &exceptionIndex{exceptions: exceptions, exact: map[exactImage][]int{}, wildByDigest: map[digest.Digest][]wildImage{}, digests: map[string][]span{}}
	spans := map[[2]string]int{} // by pattern and place, into digests[pattern] or wildDigests
	seen := map[string]bool{}    // wild images of one exception
	for i := range exceptions {
		e := &exceptions[i]
		where := e.place.key()
		clear(seen)
		for k := range e.images {
			image := &e.images[k]
			if image.exact {
				key := exactImage{image.text, image.digest}
				if list := x.exact[key]; len(list) == 0 || list[len(list)-1] != i {
					x.exact[key] = append(list, i)
				}
			} else if text := image.text + "@" + string(image.digest); !seen[text] {
				seen[text] = true
				x.addWild(image, i)
			}
			if image.digest != "" {
				x.addSpan(spans, image, span{&e.place, e.Expires}, where)
			}
		}
	}
	for _, list := range x.exact {
		slices.SortStableFunc(list, func(a, b int) int { return exceptions[b].Expires.Compare(exceptions[a].Expires) })
	}
	return x
}

func (x *exceptionIndex) addWild(image *exceptedImage, i int) {
	one := wildImage{&image.pattern, i}
	if image.digest == "" {
		x.wild = append(x.wild, one)
	} else {
		x.wildByDigest[image.digest] = append(x.wildByDigest[image.digest], one)
	}
}

// addSpan notes that some digest is excepted, once for each pattern and place.
func (x *exceptionIndex) addSpan(known map[[2]string]int, image *exceptedImage, s span, where string) {
	key := [2]string{image.text, where}
	at, ok := known[key]
	var old *span
	switch {
	case !ok && image.exact:
		known[key] = len(x.digests[image.text])
		x.digests[image.text] = append(x.digests[image.text], s)
		return
	case !ok:
		known[key] = len(x.wildDigests)
		x.wildDigests = append(x.wildDigests, wildSpan{&image.pattern, s})
		return
	case image.exact:
		old = &x.digests[image.text][at]
	default:
		old = &x.wildDigests[at].span
	}
	if s.expires.After(old.expires) {
		old.expires = s.expires
	}
}

// key is equal for places that are written alike.
func (p *place) key() string {
	return strings.Join(p.clusters, "\x00") + "\x01" + strings.Join(p.namespaces, "\x00")
}

// except finds the exception in force that lasts longest, or else the one that
// was the last to expire.
func (p *Policy) except(s *Selection, segments []string) {
	p.excepted.find(s, segments)
	if p.added != nil {
		p.added.find(s, segments)
	}
	if s.Exception != nil {
		s.Expired = nil
	}
}

// find considers all that name the image.
func (x *exceptionIndex) find(s *Selection, segments []string) {
	q := &s.question
	x.findExact(s, exactImage{q.Repository, ""})
	if q.Digest != "" {
		x.findExact(s, exactImage{q.Repository, q.Digest})
	}
	x.findWild(s, x.wild, segments)
	if q.Digest != "" {
		x.findWild(s, x.wildByDigest[q.Digest], segments)
	}
}

// findExact considers what is excepted by its exact name: of those that hold in
// the place the first lasts longest.
func (x *exceptionIndex) findExact(s *Selection, key exactImage) {
	for _, i := range x.exact[key] {
		if e := &x.exceptions[i]; e.place.holds(s.question.Where) {
			s.consider(e)
			return
		}
	}
}

func (x *exceptionIndex) findWild(s *Selection, images []wildImage, segments []string) {
	for _, image := range images {
		if e := &x.exceptions[image.exception]; e.place.holds(s.question.Where) && image.matches(s.question.Repository, segments) {
			s.consider(e)
		}
	}
}

// consider takes an exception for the image, if it is better than what there is.
func (s *Selection) consider(e *exception) {
	slot := &s.Exception
	if !s.question.Now.Before(e.Expires) {
		slot = &s.Expired
	}
	if *slot == nil || e.Expires.After((*slot).Expires) {
		*slot = &e.Exception
	}
}

// ExceptsSomeDigest says whether an exception that is in force at now, in the
// place, names a digest of the repository ("registry/repository"): then an
// answer about the repository depends on the digest, whatever the rules say.
// An exception for all digests does not count. It allocates nothing for a
// policy without patterns with stars and a digest.
func (p *Policy) ExceptsSomeDigest(repository string, w Where, now time.Time) bool {
	return p.excepted.someDigest(repository, w, now) || p.added != nil && p.added.someDigest(repository, w, now)
}

func (x *exceptionIndex) someDigest(repository string, w Where, now time.Time) bool {
	for i := range x.digests[repository] {
		if x.digests[repository][i].holds(w, now) {
			return true
		}
	}
	if len(x.wildDigests) == 0 {
		return false
	}
	segments := strings.Split(repository, "/")
	for i := range x.wildDigests {
		if one := &x.wildDigests[i]; one.holds(w, now) && one.matches(repository, segments) {
			return true
		}
	}
	return false
}

func (s *span) holds(w Where, now time.Time) bool {
	return now.Before(s.expires) && s.place.holds(w)
}
