package share

// Askers is how many have or want places.
func (s *Share) Askers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.askers)
}
