package sqlstore

import "time"

// CapRequestClocks moves those later than at back to it.
func (t *tx) CapRequestClocks(at time.Time) (int64, error) {
	return t.change("cap the request clocks", "UPDATE request_clocks SET us = ? WHERE us > ?", at, at)
}
