package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// flights are questions under way: one for each key, however many ask.
type flights[V any] struct {
	keep bool // an answer is kept until the memory goes
	mu   sync.Mutex
	m    map[key]*flight[V]
}

type flight[V any] struct {
	done  chan struct{}
	value V // set when done is closed
}

// join is the flight for k; begun: there was none, and who asks has to end it.
func (f *flights[V]) join(k key) (fl *flight[V], begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.m[k]; fl != nil {
		return fl, false
	}
	fl = &flight[V]{done: make(chan struct{})}
	if f.m == nil {
		f.m = map[key]*flight[V]{}
	}
	f.m[k] = fl
	return fl, true
}

// find is the flight for k, where one is under way.
func (f *flights[V]) find(k key) *flight[V] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[k]
}

// forget lets the next who asks begin anew.
func (f *flights[V]) forget(k key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, k)
}

func (f *flights[V]) end(k key, fl *flight[V], v V) {
	fl.value = v
	if !f.keep {
		f.mu.Lock()
		delete(f.m, k)
		f.mu.Unlock()
	}
	close(fl.done)
}

// fly answers k by ask, which runs once for all who ask at the same time. ask
// has its own deadline; ctx only ends the waiting, and once it is over nothing
// is begun. It talks to registry with access. fault makes an answer of what ask
// was not able to say.
func fly[V any](ctx context.Context, g *Gate, f *flights[V], access, registry string, k key, ask func(context.Context) V, fault func(error) V) V {
	if fl := f.find(k); fl != nil {
		return wait(ctx, fl, fault)
	}
	if ctx.Err() != nil {
		return fault(notBegun(ctx, "the asker's time was over")) // nobody would wait for it
	}
	// A place for a new one, in the asker's own time.
	leave, err := g.places.take(ctx, access, registry)
	if err != nil {
		if fl := f.find(k); fl != nil { // begun by somebody else meanwhile
			return wait(ctx, fl, fault)
		}
		return fault(notBegun(ctx, "as many checks as may be are under way of this registry"))
	}
	fl, begun := f.join(k)
	if !begun { // by somebody else meanwhile
		leave()
		return wait(ctx, fl, fault)
	}
	go func() {
		own, cancel := g.flightContext(ctx)
		v := fault(&shuin.Error{Code: shuin.CodeInternal, Message: "the check ended without an answer"})
		defer func() {
			if p := recover(); p != nil {
				v = fault(&shuin.Error{Code: shuin.CodeInternal, Message: fmt.Sprintf("the check failed: %.200v", p)})
			}
			cancel()
			f.end(k, fl, v)
			leave()
		}()
		v = ask(own)
	}()
	return wait(ctx, fl, fault)
}

// wait waits for the answer as long as ctx lets it; what is known already is
// given also after its end.
func wait[V any](ctx context.Context, fl *flight[V], fault func(error) V) V {
	select {
	case <-fl.done:
		return fl.value
	default:
	}
	select {
	case <-fl.done:
		return fl.value
	case <-ctx.Done():
		return fault(overdue(ctx, "the check is still under way"))
	}
}

func overdue(ctx context.Context, what string) error {
	return &shuin.Error{Code: shuin.CodeDeadline, Message: what, Hint: "ask again: what is found meanwhile is remembered", Err: context.Cause(ctx)}
}

// notBegun is the reason where nobody was asked. No rule admits what it could
// not check for that: else whoever asks in a hurry, or keeps the gate busy,
// would get in what nobody sealed.
func notBegun(ctx context.Context, what string) error {
	return &shuin.Error{Code: shuin.CodeNotBegun, Message: "the check was not begun: " + what, Hint: "ask again, and allow it more time", Err: context.Cause(ctx)}
}

// flightContext has a deadline of its own. Where nothing outlives the
// decision, the work ends with it.
func (g *Gate) flightContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if g.o.Remember {
		ctx = context.WithoutCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limits.GateFlightTime, errFlightTime)
}

var errFlightTime = errors.New("the registry took too long (limit GateFlightTime)")

// talk waits for a turn to talk to a registry, and gives it back with done.
// Whose access it is does not matter: it is the registry that is spared.
func (g *Gate) talk(ctx context.Context, registry string) (done func(), err error) {
	done, err = g.talks.take(ctx, "", registry)
	if err != nil {
		return nil, notBegun(ctx, "too many checks talk to this registry at a time")
	}
	return done, nil
}

// retry repeats what could not be checked, for at most d and as long as ctx
// lasts, with growing pauses.
func (g *Gate) retry(ctx context.Context, d time.Duration, undecided func() bool) {
	began := g.o.Now()
	pause := limits.GateRetryFirst
	for undecided() && ctx.Err() == nil {
		if g.o.Wait == nil || g.o.Now().Add(pause).Sub(began) > d || g.o.Wait(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, limits.GateRetryMost)
	}
}
