package awssigner

import (
	"sync"

	"github.com/shuin/shuin/internal/share"
)

// bodies bounds the request bodies that are awaited: who sends one is not
// known before it is there, so each address has a share only.
type bodies struct {
	most, share int

	mu    sync.Mutex
	count int
	by    map[string]int
}

func newBodies(most, share int) *bodies {
	return &bodies{most: most, share: share, by: map[string]int{}}
}

// enter takes a place for a body from remote, if there is one; leave gives it back.
func (b *bodies) enter(remote string) (leave func(), ok bool) {
	from := share.Group(share.Sender(remote))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= b.most || b.by[from] >= b.share {
		return nil, false
	}
	b.count++
	b.by[from]++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.count--
		if b.by[from]--; b.by[from] == 0 {
			delete(b.by, from)
		}
	}, true
}
