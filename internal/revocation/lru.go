package revocation

import (
	"container/list"
	"sync"
)

// lru keeps values up to a total weight and drops the least recently used
// first. A value heavier than the whole is not kept.
type lru[V any] struct {
	mu     sync.Mutex
	max    int
	weight int
	order  *list.List // of *lruItem[V], most recently used first
	items  map[string]*list.Element
}

type lruItem[V any] struct {
	key    string
	value  V
	weight int
}

func newLRU[V any](maxWeight int) *lru[V] {
	return &lru[V]{max: maxWeight, order: list.New(), items: make(map[string]*list.Element)}
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

func (l *lru[V]) put(key string, value V, weight int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.items[key]; ok {
		l.drop(e)
	}
	if weight > l.max {
		return
	}
	l.items[key] = l.order.PushFront(&lruItem[V]{key, value, weight})
	l.weight += weight
	for l.weight > l.max {
		l.drop(l.order.Back())
	}
}

func (l *lru[V]) drop(e *list.Element) {
	item := l.order.Remove(e).(*lruItem[V])
	delete(l.items, item.key)
	l.weight -= item.weight
}
