package signing

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// memStore is a Store in memory: one transaction at a time on a copy.
type memStore struct {
	mu    sync.Mutex
	state memState
	// fail is asked before each commit; an error undoes it.
	fail func(*memTx) error
}

type memState struct {
	entries     []audit.Entry
	clock       time.Time
	requests    map[string]time.Time // request clocks by principal
	profiles    map[string][]Profile // by account/lower name, oldest first
	tags        map[string]map[string]string
	permissions map[string]memPolicy
	jobs        map[string]Job
	jobOrder    []string
	replies     map[[3]string]Reply
	authorities map[string]Authority
	order       []string
	revoked     map[string][]RevokedCertificate
	ids         map[string]time.Time
	credentials map[string]Credential
	imported    []Certificate
}

type memPolicy struct {
	revision string
	list     []Permission
}

func (s memState) clone() memState {
	c := s
	c.entries = slices.Clone(s.entries)
	c.profiles = map[string][]Profile{}
	for k, v := range s.profiles {
		c.profiles[k] = slices.Clone(v)
	}
	c.revoked = map[string][]RevokedCertificate{}
	for k, v := range s.revoked {
		c.revoked[k] = slices.Clone(v)
	}
	c.tags, c.permissions, c.jobs = maps.Clone(s.tags), maps.Clone(s.permissions), maps.Clone(s.jobs)
	c.replies, c.authorities, c.ids = maps.Clone(s.replies), maps.Clone(s.authorities), maps.Clone(s.ids)
	c.imported = slices.Clone(s.imported)
	c.credentials = maps.Clone(s.credentials)
	c.requests = maps.Clone(s.requests)
	c.jobOrder, c.order = slices.Clone(s.jobOrder), slices.Clone(s.order)
	return c
}

func newMemStore() *memStore {
	return &memStore{state: memState{
		profiles: map[string][]Profile{}, tags: map[string]map[string]string{}, permissions: map[string]memPolicy{},
		jobs: map[string]Job{}, replies: map[[3]string]Reply{}, authorities: map[string]Authority{},
		revoked: map[string][]RevokedCertificate{}, ids: map[string]time.Time{}, credentials: map[string]Credential{}, requests: map[string]time.Time{},
	}}
}

func (m *memStore) Update(ctx context.Context, f func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	tx := &memTx{memState: m.state.clone()}
	if err := f(tx); err != nil {
		return err
	}
	if m.fail != nil {
		if err := m.fail(tx); err != nil {
			return err
		}
	}
	m.state = tx.memState
	return nil
}

func (m *memStore) View(ctx context.Context, f func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f(&memTx{memState: m.state.clone(), readOnly: true})
}

type memTx struct {
	memState
	readOnly bool
}

var errReadOnly = errors.New("a view wrote")

func (t *memTx) write() error {
	if t.readOnly {
		return errReadOnly
	}
	return nil
}

func profileKey(account, name string) string { return account + "/" + strings.ToLower(name) }

func (t *memTx) AppendEntry(e audit.Entry) (int64, error) {
	if _, err := e.Leaf(); err != nil {
		return 0, err
	}
	t.entries = append(t.entries, e)
	return int64(len(t.entries) - 1), t.write()
}
func (t *memTx) Clock() (time.Time, error)   { return t.clock, nil }
func (t *memTx) SetClock(at time.Time) error { t.clock = at; return t.write() }
func (t *memTx) RequestClock(principal string) (time.Time, error) {
	return t.requests[principal], nil
}
func (t *memTx) SetRequestClock(principal string, at time.Time) error {
	if at.After(t.requests[principal]) {
		t.requests[principal] = at
	}
	return t.write()
}
func (t *memTx) CapRequestClocks(at time.Time) (n int64, err error) {
	for p, d := range t.requests {
		if d.After(at) {
			t.requests[p] = at
			n++
		}
	}
	return n, t.write()
}

func (t *memTx) Profile(account, name string) (Profile, error) {
	for _, p := range t.profiles[profileKey(account, name)] {
		if p.Current {
			return p, nil
		}
	}
	return Profile{}, ErrNotFound
}
func (t *memTx) ProfileVersion(account, name, version string) (Profile, error) {
	for _, p := range t.profiles[profileKey(account, name)] {
		if p.ARN.Version == version {
			return p, nil
		}
	}
	return Profile{}, ErrNotFound
}
func (t *memTx) AddProfile(p Profile) error {
	k := profileKey(p.ARN.Account, p.ARN.Name)
	for i := range t.profiles[k] {
		t.profiles[k][i].Current = false
	}
	p.Current = true
	t.profiles[k] = append(t.profiles[k], p)
	return t.write()
}
func (t *memTx) SetProfile(p Profile) error {
	list := t.profiles[profileKey(p.ARN.Account, p.ARN.Name)]
	for i := range list {
		if list[i].ARN == p.ARN {
			list[i].Status, list[i].Reason, list[i].StatusAt, list[i].StatusBy, list[i].Revocation = p.Status, p.Reason, p.StatusAt, p.StatusBy, p.Revocation
			return t.write()
		}
	}
	return ErrNotFound
}
func (t *memTx) Profiles(q ProfileQuery) ([]Profile, error) {
	var out []Profile
	for _, list := range t.profiles {
		for _, p := range list {
			if p.Current && p.ARN.Account == q.Account && p.ARN.Name > q.After && (len(q.Statuses) == 0 || slices.Contains(q.Statuses, p.Status)) &&
				(q.Certificate == (awsprofile.Certificate{}) || p.Certificate == q.Certificate) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b Profile) int { return cmp.Compare(a.ARN.Name, b.ARN.Name) })
	return out[:min(len(out), q.Limit)], nil
}
func (t *memTx) Tags(account, name string) (map[string]string, error) {
	return t.tags[profileKey(account, name)], nil
}
func (t *memTx) SetTags(account, name string, tags map[string]string) error {
	t.tags[profileKey(account, name)] = maps.Clone(tags)
	return t.write()
}
func (t *memTx) Permissions(account, name string) (string, []Permission, error) {
	p := t.permissions[profileKey(account, name)]
	return p.revision, p.list, nil
}
func (t *memTx) SetPermissions(account, name, revision string, list []Permission) error {
	t.permissions[profileKey(account, name)] = memPolicy{revision, slices.Clone(list)}
	return t.write()
}
func (t *memTx) AddJob(j Job) error {
	k := j.ARN.Account + "/" + j.ARN.ID
	if _, ok := t.jobs[k]; ok {
		return ErrExists
	}
	t.jobs[k] = j
	t.jobOrder = append(t.jobOrder, k)
	return t.write()
}
func (t *memTx) Job(account, id string) (Job, error) {
	j, ok := t.jobs[account+"/"+id]
	if !ok {
		return Job{}, ErrNotFound
	}
	return j, nil
}
func (t *memTx) SetJobRevocation(j Job) error {
	k := j.ARN.Account + "/" + j.ARN.ID
	old, ok := t.jobs[k]
	if !ok {
		return ErrNotFound
	}
	old.Revocation = j.Revocation
	t.jobs[k] = old
	return t.write()
}
func (t *memTx) Jobs(q JobQuery) ([]Job, error) {
	var out []Job
	started := q.After == ""
	for _, k := range slices.Backward(t.jobOrder) {
		j := t.jobs[k]
		if !started {
			started = j.ARN.ID == q.After
			continue
		}
		if j.ARN.Account != q.Account || q.Status != "" && j.Status != q.Status || q.RequestedBy != "" && j.RequestedBy != q.RequestedBy ||
			q.Invoker != "" && j.Invoker != q.Invoker || q.Revoked != nil && *q.Revoked != (j.Revocation != nil) ||
			!q.ExpiresBefore.IsZero() && !j.Expires.Before(q.ExpiresBefore) || !q.ExpiresAfter.IsZero() && !j.Expires.After(q.ExpiresAfter) {
			continue
		}
		if out = append(out, j); len(out) == q.Limit {
			break
		}
	}
	return out, nil
}
func (t *memTx) Reply(principal, invocationID, body string, since time.Time) (Reply, error) {
	r, ok := t.replies[[3]string{principal, invocationID, body}]
	if !ok || r.Created.Before(since) {
		return Reply{}, ErrNotFound
	}
	return r, nil
}
func (t *memTx) AddReply(r Reply) error {
	k := [3]string{r.Principal, r.InvocationID, r.BodySHA256}
	if _, ok := t.replies[k]; ok {
		return ErrExists
	}
	t.replies[k] = r
	return t.write()
}
func (t *memTx) PurgeReplies(before time.Time) error {
	left := limits.ReplyPurge
	maps.DeleteFunc(t.replies, func(_ [3]string, r Reply) bool {
		if left > 0 && r.Created.Before(before) {
			left--
			return true
		}
		return false
	})
	return t.write()
}
func (t *memTx) DropReply(principal, invocationID, bodySHA256 string) error {
	delete(t.replies, [3]string{principal, invocationID, bodySHA256})
	return t.write()
}
func (t *memTx) AddAuthority(a Authority) error {
	if _, ok := t.authorities[a.ID]; ok {
		return ErrExists
	}
	t.authorities[a.ID] = a
	t.order = append(t.order, a.ID)
	return t.write()
}
func (t *memTx) Authority(id string) (Authority, error) {
	a, ok := t.authorities[id]
	if !ok {
		return Authority{}, ErrNotFound
	}
	return a, nil
}
func (t *memTx) AuthorityOf(p awsprofile.Profile) (Authority, error) {
	for _, id := range slices.Backward(t.order) {
		if t.authorities[id].Profile == p {
			return t.authorities[id], nil
		}
	}
	return Authority{}, ErrNotFound
}
func (t *memTx) Authorities() ([]Authority, error) {
	var out []Authority
	for _, id := range t.order {
		out = append(out, t.authorities[id])
	}
	return out, nil
}
func (t *memTx) SetAuthority(a Authority) error {
	old, ok := t.authorities[a.ID]
	if !ok {
		return ErrNotFound
	}
	old.CRLNumber, old.CRL, old.CRLNext, old.Revoked = a.CRLNumber, a.CRL, a.CRLNext, a.Revoked
	t.authorities[a.ID] = old
	return t.write()
}
func (t *memTx) AddRevokedCertificate(r RevokedCertificate) error {
	if ok, _ := t.CertificateRevoked(r.Authority, r.Serial); ok {
		return ErrExists
	}
	t.revoked[r.Authority] = append(t.revoked[r.Authority], r)
	return t.write()
}
func (t *memTx) RevokedCertificates(authority string) ([]RevokedCertificate, error) {
	return t.revoked[authority], nil
}
func (t *memTx) CertificateRevoked(authority, serial string) (bool, error) {
	return slices.ContainsFunc(t.revoked[authority], func(r RevokedCertificate) bool { return r.Serial == serial }), nil
}
func (t *memTx) RevokedIDs(ids []string) ([]string, error) {
	var out []string
	for _, id := range ids {
		if _, ok := t.ids[id]; ok {
			out = append(out, id)
		}
	}
	return out, nil
}
func (t *memTx) RevokedEditions(ids []string) ([]string, error) {
	var out []string
	for _, id := range ids {
		for _, revoked := range slices.Sorted(maps.Keys(t.ids)) {
			if awsprofile.OwnHash(revoked) == awsprofile.OwnHash(id) {
				out = append(out, revoked)
			}
		}
	}
	return out, nil
}
func (t *memTx) AddRevokedID(id string, at time.Time) error { t.ids[id] = at; return t.write() }
func (t *memTx) CertificatesInUse() (list []awsprofile.Certificate, err error) {
	for _, versions := range t.profiles {
		for _, p := range versions {
			if p.Current && p.Status == ProfileActive && p.Certificate != (awsprofile.Certificate{}) && !slices.Contains(list, p.Certificate) {
				list = append(list, p.Certificate)
			}
		}
	}
	return list, nil
}
func (t *memTx) certificate(arn awsprofile.Certificate) int {
	return slices.IndexFunc(t.imported, func(c Certificate) bool { return c.ARN == arn })
}
func (t *memTx) AddCertificate(c Certificate) error {
	if t.certificate(c.ARN) >= 0 {
		return ErrExists
	}
	t.imported = append(t.imported, c)
	return t.write()
}
func (t *memTx) Certificate(arn awsprofile.Certificate) (Certificate, error) {
	i := t.certificate(arn)
	if i < 0 {
		return Certificate{}, ErrNotFound
	}
	return t.imported[i], nil
}
func (t *memTx) Certificates() ([]Certificate, error) { return t.imported, nil }
func (t *memTx) SetCertificate(c Certificate) error {
	i := t.certificate(c.ARN)
	if i < 0 {
		return ErrNotFound
	}
	t.imported[i].SealedKey, t.imported[i].Deleted = c.SealedKey, c.Deleted
	return t.write()
}
func (t *memTx) AddCredential(c Credential) error {
	if _, ok := t.credentials[c.AccessKeyID]; ok {
		return ErrExists
	}
	t.credentials[c.AccessKeyID] = c
	return t.write()
}
func (t *memTx) Credential(id string) (Credential, error) {
	c, ok := t.credentials[id]
	if !ok {
		return Credential{}, ErrNotFound
	}
	return c, nil
}
func (t *memTx) Credentials() ([]Credential, error) {
	return slices.SortedFunc(maps.Values(t.credentials), func(a, b Credential) int { return cmp.Compare(a.AccessKeyID, b.AccessKeyID) }), nil
}
func (t *memTx) SetCredential(c Credential) error {
	old, ok := t.credentials[c.AccessKeyID]
	if !ok {
		return ErrNotFound
	}
	old.Disabled, old.Expires = c.Disabled, c.Expires
	t.credentials[c.AccessKeyID] = old
	return t.write()
}
