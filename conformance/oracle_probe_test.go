package conformance

import "testing"

func TestProbe(t *testing.T) {
	for _, v := range loadVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			err, ok := upstream(t, v)
			if !ok {
				return
			}
			if (err == nil) != v.Valid {
				t.Errorf("%s valid=%v upstream: %v", v.Title, v.Valid, err)
			}
		})
	}
}
