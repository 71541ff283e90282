package share

// Askers is how many have or want places.
func (s *Share) Askers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, g := range s.groups {
		n += len(g.askers)
	}
	return n
}
