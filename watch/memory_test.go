package watch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
	"github.com/shuin/shuin/watch/storetest"
)

func TestTheStoreInMemoryIsAStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) watch.Store { return &watch.MemoryStore{} })
}

func TestTheStoreInMemoryForgetsTheOldest(t *testing.T) {
	m, now, ctx := &watch.MemoryStore{}, time.Unix(1_772_366_400, 0), context.Background()
	for i := range limits.WatchMemoryEntries + 1 {
		c := watch.Claim{Key: fmt.Sprint(i), Version: 1}
		token, err := m.Begin(ctx, c, now.Add(time.Duration(i)*time.Millisecond), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Done(ctx, c, token, now.Add(time.Duration(i)*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if _, err := m.Begin(ctx, watch.Claim{Key: fmt.Sprint(limits.WatchMemoryEntries / 2), Version: 1}, now, time.Minute); err != watch.ErrDuplicate {
		t.Error("the newer half is forgotten:", err)
	}
	if _, err := m.Begin(ctx, watch.Claim{Key: "0", Version: 1}, now, time.Minute); err != nil {
		t.Error("the oldest is not:", err)
	}
}
