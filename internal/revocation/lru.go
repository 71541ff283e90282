package revocation

import (
	"container/list"
	"sync"
)

// lru keeps values up to a total weight. Beyond it that owner loses his least
// recently used one who has the most: nobody pushes out what others have by
// bringing much. A value heavier than the whole is not kept.
type lru[V any] struct {
	mu     sync.Mutex
	max    int
	weight int
	owners map[string]int // the weight of each one's
	order  *list.List     // of *lruItem[V], most recently used first
	items  map[string]*list.Element
}

type lruItem[V any] struct {
	key, owner string
	value      V
	weight     int
}

func newLRU[V any](maxWeight int) *lru[V] {
	return &lru[V]{max: maxWeight, owners: make(map[string]int), order: list.New(), items: make(map[string]*list.Element)}
}

func (l *lru[V]) get(key string) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.items[key]
	if !ok {
		var zero V
		return zero, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruItem[V]).value, true
}

func (l *lru[V]) put(key, owner string, value V, weight int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.items[key]; ok {
		l.drop(e)
	}
	if weight > l.max {
		return
	}
	l.items[key] = l.order.PushFront(&lruItem[V]{key, owner, value, weight})
	l.weight += weight
	l.owners[owner] += weight
	for l.weight > l.max {
		l.drop(l.last())
	}
}

// last is the least recently used one of who has the most.
func (l *lru[V]) last() *list.Element {
	most := 0
	for _, n := range l.owners {
		most = max(most, n)
	}
	e := l.order.Back()
	for l.owners[e.Value.(*lruItem[V]).owner] < most {
		e = e.Prev()
	}
	return e
}

func (l *lru[V]) drop(e *list.Element) {
	item := l.order.Remove(e).(*lruItem[V])
	delete(l.items, item.key)
	l.weight -= item.weight
	if l.owners[item.owner] -= item.weight; l.owners[item.owner] == 0 {
		delete(l.owners, item.owner)
	}
}
