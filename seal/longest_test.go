package seal_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/seal"
)

func TestWhatHasRoomBeforeTheCommandHasRoomAfterIt(t *testing.T) {
	size := func(m map[string]string) (int, error) {
		b, err := json.Marshal(m)
		return len(b), err
	}
	before := seal.Evidence{Stage: "unit-test", Tool: "shuin/v1"}
	for _, argv := range [][]string{nil, {"true"}, {"sh", "-c", strings.Repeat("é<", 3000)}} {
		fitted := false
		for n := limits.SignPayload; n > limits.SignPayload-700; n-- {
			user := map[string]string{"notes": strings.Repeat("x", n)}
			_, err := before.Longest(argv).Metadata("", user, size)
			if err != nil && shuin.CodeOf(err) != shuin.CodeLimit {
				t.Fatal(err)
			}
			if err != nil {
				continue
			}
			fitted = true
			for _, d := range []time.Duration{0, time.Nanosecond, 999 * time.Millisecond, 59*time.Minute + 59*time.Second + 999*time.Millisecond,
				8783*time.Hour + 59*time.Minute + 59*time.Second + 999*time.Millisecond, 366 * 24 * time.Hour} {
				e := before
				e.Ran, e.Started, e.Duration = true, time.Date(2026, 12, 31, 23, 59, 59, 999, time.UTC), d
				if argv != nil {
					e.Command = seal.NewCommand(argv)
				}
				if _, err := e.Metadata("", user, size); err != nil {
					t.Fatalf("%d bytes of notes, %s: %v", n, d, err)
				}
			}
		}
		if !fitted {
			t.Errorf("%.20q: nothing had room", argv)
		}
	}
	if err := before.Longest([]string{"true"}).Check(); err != nil {
		t.Error(err)
	}
}
