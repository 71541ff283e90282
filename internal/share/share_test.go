package share_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/internal/share"
)

// crowd are askers for places of one share, in a bubble of synctest.
type crowd struct {
	t     *testing.T
	share *share.Share
	mu    sync.Mutex
	got   []string // who got some
	leave map[string]func()
}

func newCrowd(t *testing.T, all, part int64) *crowd {
	return &crowd{t: t, share: share.New(all, part), leave: map[string]func(){}}
}

// asks begins to wait for n places and returns when it has them or waits.
func (c *crowd) asks(ctx context.Context, who, name string, n int64) {
	c.t.Helper()
	go func() {
		leave, err := c.share.Take(ctx, who, n)
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.got = append(c.got, name+" gave up")
			return
		}
		c.got = append(c.got, name)
		c.leave[name] = leave
	}()
	synctest.Wait()
}

func (c *crowd) leaves(name string) {
	c.t.Helper()
	c.mu.Lock()
	leave := c.leave[name]
	c.mu.Unlock()
	if leave == nil {
		c.t.Fatalf("%s has no place", name)
	}
	leave()
	synctest.Wait()
}

// want says who got places since it was asked the last time.
func (c *crowd) want(names ...string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.got) // those who get theirs at once say so in any order
	if diff := cmp.Diff(names, c.got); diff != "" {
		c.t.Errorf("who got places (-want +got):\n%s", diff)
	}
	c.got = nil
}

func TestOneAskerLeavesPlacesToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 4, 2)
		for _, name := range []string{"a1", "a2", "a3", "a4"} {
			c.asks(t.Context(), "a", name, 1)
		}
		c.want("a1", "a2")
		c.asks(t.Context(), "b", "b1", 1)
		c.asks(t.Context(), "b", "b2", 1)
		c.want("b1", "b2")
		c.leaves("a2")
		c.want("a3")
		c.leaves("b1") // a's part is used up
		c.want()
		for _, name := range []string{"a1", "a3", "a4", "b2"} {
			c.leaves(name)
		}
	})
}

func TestWhoHasLeastComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 4, 3)
		for _, name := range []string{"a1", "a2", "a3"} {
			c.asks(t.Context(), "a", name, 1)
		}
		c.asks(t.Context(), "b", "b1", 1)
		c.want("a1", "a2", "a3", "b1")
		c.asks(t.Context(), "a", "a4", 1) // waits the longest
		c.asks(t.Context(), "b", "b2", 1)
		c.asks(t.Context(), "c", "c1", 1)
		c.asks(t.Context(), "d", "d1", 1)
		c.leaves("a1")
		c.want("c1") // of two who have none, who came first
		c.leaves("a2")
		c.want("d1")
		c.leaves("a3")
		c.want("a4") // it has none by now
		c.leaves("b1")
		c.want("b2")
		for _, name := range []string{"a4", "b2", "c1", "d1"} {
			c.leaves(name)
		}
	})
}

func TestALargeWishIsNotPassedByForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 10, 8)
		c.asks(t.Context(), "a", "a1", 6)
		c.asks(t.Context(), "b", "b1", 6)
		c.asks(t.Context(), "c", "c1", 1) // there is room, but b came first and has as few
		c.want("a1")
		c.leaves("a1")
		c.want("b1", "c1")
		c.asks(t.Context(), "b", "b2", 100) // is its part, 8
		c.want()
		c.leaves("b1")
		c.want("b2")
		c.leaves("b2")
		c.leaves("c1")
	})
}

func TestWhoGivesUpLeavesHisTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2, 2)
		ctx, cancel := context.WithCancel(t.Context())
		c.asks(t.Context(), "a", "a1", 2)
		c.asks(ctx, "b", "b1", 2)
		c.asks(t.Context(), "c", "c1", 1)
		c.want("a1")
		cancel()
		synctest.Wait()
		c.want("b1 gave up")
		c.leaves("a1")
		c.want("c1")
		c.leaves("c1")
		c.leaves("c1") // twice is once
		c.asks(t.Context(), "d", "d1", 2)
		c.want("d1")
		c.leaves("d1")
	})
}

func TestAWaitBehindOneWhoGivesUpGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 3, 3)
		ctx, cancel := context.WithCancel(t.Context())
		c.asks(t.Context(), "a", "a1", 2)
		c.asks(ctx, "b", "b1", 2)
		c.asks(t.Context(), "c", "c1", 1)
		c.want("a1")
		cancel()
		synctest.Wait()
		c.want("b1 gave up", "c1")
		c.leaves("a1")
		c.leaves("c1")
	})
}

// Whoever asks for nothing any more is forgotten, and no place is lost.
func TestManyAskersAtOnceLoseNoPlace(t *testing.T) {
	s := share.New(8, 4)
	var work sync.WaitGroup
	for i := range 64 {
		work.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%3 == 0 {
				go func() { runtime.Gosched(); cancel() }()
			}
			for range 200 {
				leave, err := s.Take(ctx, fmt.Sprint(i%7), int64(1+i%5))
				switch {
				case err == nil:
					leave()
				case !errors.Is(err, context.Canceled):
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	for _, who := range []string{"x", "y"} { // all is there again
		leave, err := s.Take(context.Background(), who, 4)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	if n := s.Askers(); n != 2 {
		t.Errorf("%d askers are remembered, and two have places", n)
	}
}

func TestNoBoundOnAllTogether(t *testing.T) {
	s := share.New(math.MaxInt64, 1)
	for i := range 1000 {
		leave, err := s.Take(context.Background(), fmt.Sprint(i), 1)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
}

func TestAddressesOfOneSenderShareItsPlaces(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:2", true},
		{"[2001:db8::1]:1", "[2001:db8::1]:2", true},
		{"[2001:db8::1]:1", "[2001:db8::ffff:1:2:3]:1", false},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true},
		{"@", "@", true},
	} {
		if got := share.Sender(c.a) == share.Sender(c.b); got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

func TestAddressesOfIPv6AreOfAGroupOf2To64(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"[2001:db8::1]:1", "[2001:db8::ffff:1:2:3]:1", true},
		{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
		{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
	} {
		if got := share.Group(share.Sender(c.a)) == share.Group(share.Sender(c.b)); got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
	if who := share.Sender("192.0.2.1:1"); share.Group(who) != who {
		t.Errorf("%s is one of %s", who, share.Group(who))
	}
}

// Where a Pod has its address out of the API servers' own 2^64, it has its part
// and they have theirs.
func TestAStrangerWithAnAddressBesideTheAPIServersLeavesThemPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 6, 3)
		pod, server := share.Sender("[2001:db8::1]:1"), share.Sender("[2001:db8::2]:1")
		for _, name := range []string{"p1", "p2", "p3", "p4"} {
			c.asks(t.Context(), pod, name, 1)
		}
		c.want("p1", "p2", "p3")
		c.asks(t.Context(), server, "s1", 1)
		c.want("s1")
		c.asks(t.Context(), server, "s2", 1) // four of six are all that the 2^64 have
		c.want()
		c.asks(t.Context(), share.Sender("[2001:db8:0:1::1]:1"), "o1", 1)
		c.want("o1")
		c.leaves("p1")
		c.want("s2") // and not p4: the server has fewer
		for _, name := range []string{"p2", "p3", "s1", "s2", "p4", "o1"} {
			c.leaves(name)
		}
	})
}

func TestWhoHasManyAddressesOfA2To64LeavesPlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 8, 4)
		for i := range 10 {
			c.asks(t.Context(), share.Sender(fmt.Sprintf("[2001:db8::%d]:1", i)), fmt.Sprint("m", i), 1)
		}
		c.want("m0", "m1", "m2", "m3", "m4", "m5")
		c.asks(t.Context(), "192.0.2.1", "o1", 2)
		c.want("o1")
		c.asks(t.Context(), "192.0.2.1", "o2", 1)
		c.leaves("m0")
		c.want("o2") // his group has fewer, though each of the many has none
		for i := 1; i < 6; i++ {
			c.leaves(fmt.Sprint("m", i))
		}
		c.want("m6", "m7", "m8", "m9")
		for _, name := range []string{"m6", "m7", "m8", "m9", "o1", "o2"} {
			c.leaves(name)
		}
	})
}

// In a group that has all it may, who wants much is not passed by either.
func TestALargeWishIsNotPassedByInItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 8, 4)
		a, b, d := share.Sender("[2001:db8::a]:1"), share.Sender("[2001:db8::b]:1"), share.Sender("[2001:db8::d]:1")
		c.asks(t.Context(), a, "a1", 2)
		c.asks(t.Context(), a, "a2", 2)
		c.asks(t.Context(), b, "b1", 4) // six are all the group has
		c.asks(t.Context(), d, "d1", 2)
		c.want("a1", "a2")
		c.leaves("a1")
		c.want("b1")
		c.leaves("a2")
		c.want("d1")
		c.leaves("b1")
		c.leaves("d1")
	})
}

func TestWhoWantsNothingIsNotRemembered(t *testing.T) {
	s := share.New(2, 1)
	none, err := s.Take(context.Background(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	some, err := s.Take(context.Background(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	some()
	none()
	less, err := s.Take(context.Background(), "a", -1)
	if err != nil {
		t.Fatal(err)
	}
	less()
	if n := s.Askers(); n != 0 {
		t.Errorf("%d askers are remembered", n)
	}
}
