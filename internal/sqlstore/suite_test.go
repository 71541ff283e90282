package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// t0 has all digits that a store keeps.
var t0 = time.Date(2026, 11, 22, 4, 5, 6, 123456000, time.UTC)

const account = "111122223333"

var hex64 = strings.Repeat("5a", 32)

// testStore is what every signing.Store has to do, whatever it is made of.
// open gives a new, empty one.
func testStore(t *testing.T, open func(*testing.T) signing.Store) {
	for name, test := range map[string]func(*testing.T, signing.Store){
		"a profile's newest version is the current one":                         profileVersions,
		"a profile's status and revocation change and nothing else":             profileStatus,
		"a change of a profile that failed was never there":                     profileChangeFails,
		"profiles are listed by name, a page at a time":                         profileList,
		"tags belong to a profile, whatever the case of its name":               profileTags,
		"permissions are replaced with their revision":                          profilePermissions,
		"a job reads back as it was added":                                      jobKept,
		"a job is added once":                                                   jobOnce,
		"a job's revocation is kept":                                            jobRevoked,
		"jobs are listed newest first, a page at a time":                        jobPages,
		"jobs are listed by what is asked":                                      jobFilters,
		"a reply is found for a while, by all of its names":                     replies,
		"old replies are purged":                                                repliesPurged,
		"few replies are purged at a time, the oldest first":                    repliesPurgedInParts,
		"a reply is dropped":                                                    replyDropped,
		"a principal's request clock is kept and does not go back":              requestClockKept,
		"an authority reads back as it was added":                               authorityKept,
		"an authority's CRL and revocation change and nothing else":             authorityChanged,
		"the newest authority of a profile version is found":                    authorityNewest,
		"revoked certificates are listed oldest first, for one authority":       revokedCertificates,
		"revoked ids are told from others":                                      revokedIDs,
		"an imported certificate reads back and is listed":                      certificateKept,
		"a deleted certificate loses its key and nothing else":                  certificateDeleted,
		"profiles are found by the certificate they sign with":                  profilesOfACertificate,
		"a credential reads back, changes, and is listed":                       credentials,
		"the clock begins at zero and is kept":                                  clockKept,
		"the log's indexes count up":                                            logIndexes,
		"an update that fails leaves nothing":                                   updateFails,
		"an update that panics leaves nothing and ends as an error":             updatePanics,
		"an update that does not heed a statement's error fails as far as that": updateGoesOn,
		"an update whose context has ended does not run":                        updateCancelled,
		"an update that began ends, though its context is cancelled":            updateGoesThrough,
		"one that fails among many takes no other with it":                      updatesTogether,
		"a view sees one state":                                                 viewConsistent,
		"a view does not write":                                                 viewReadOnly,
		"a transaction that ended is of no more use":                            txEnded,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func keep(t *testing.T, s signing.Store, f func(signing.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t *testing.T, s signing.Store, f func(signing.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), f); err != nil {
		t.Fatalf("view: %v", err)
	}
}

// same holds got against want.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// read gives what a function of Tx says in a view.
func read[T any](t *testing.T, s signing.Store, f func(signing.Tx) (T, error)) T {
	t.Helper()
	var out T
	view(t, s, func(tx signing.Tx) (err error) { out, err = f(tx); return err })
	return out
}

// is holds the error of f in a view against want.
func is(t *testing.T, s signing.Store, want error, f func(signing.Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), f); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func aProfile(name, version string) signing.Profile {
	return signing.Profile{
		ARN:  awsprofile.Profile{Partition: "aws-cn", Region: "cn-north-1", Account: account, Name: name, Version: version},
		Kind: signing.KindStandard, Validity: signing.Validity{Value: 11, Type: "YEARS"},
		Parameters: map[string]string{"profileKind": "standard", "b": "日本"}, Status: signing.ProfileActive,
		Created: t0, StatusBy: "arn:aws:iam::111122223333:user/a", StatusAt: t0.Add(time.Second), Current: true,
	}
}

func profileVersions(t *testing.T, s signing.Store) {
	one, two := aProfile("Build_1", "aaaaaaaaaa"), aProfile("Build_1", "bbbbbbbbbb")
	two.Parameters = nil
	keep(t, s, func(tx signing.Tx) error { return tx.AddProfile(one) })
	current := func(tx signing.Tx) (signing.Profile, error) { return tx.Profile(account, "BUILD_1") }
	same(t, "the only version", read(t, s, current), one)
	keep(t, s, func(tx signing.Tx) error { return tx.AddProfile(two) })
	same(t, "the newer version", read(t, s, current), two)
	one.Current = false
	same(t, "the older version", read(t, s, func(tx signing.Tx) (signing.Profile, error) {
		return tx.ProfileVersion(account, "build_1", "aaaaaaaaaa")
	}), one)
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Profile(account, "build_2"); return err })
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Profile("999999999999", "build_1"); return err })
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.ProfileVersion(account, "build_1", "AAAAAAAAAA"); return err })
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddProfile(two) })
	if !errors.Is(err, signing.ErrExists) {
		t.Errorf("a version twice: %v", err)
	}
	same(t, "the current one after that", read(t, s, current), two)
}

func profileStatus(t *testing.T, s signing.Store) {
	one := aProfile("build", "aaaaaaaaaa")
	keep(t, s, func(tx signing.Tx) error { return tx.AddProfile(one) })
	changed := one
	changed.Status, changed.Reason, changed.StatusBy, changed.StatusAt = signing.ProfileRevoked, "leaked", "b", t0.Add(time.Hour)
	changed.Revocation = &signing.ProfileRevocation{EffectiveFrom: time.Unix(-5, 0).UTC(), RevokedAt: t0, RevokedBy: "b", Reason: ""}
	sent := changed
	sent.Kind, sent.Created, sent.Current = signing.KindAWS, t0.Add(time.Minute), false
	keep(t, s, func(tx signing.Tx) error { return tx.SetProfile(sent) })
	same(t, "the profile", read(t, s, func(tx signing.Tx) (signing.Profile, error) { return tx.Profile(account, "build") }), changed)
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.SetProfile(aProfile("other", "aaaaaaaaaa")) })
	if !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("a profile that is not there: %v", err)
	}
}

// profileChangeFails: an update that reads its own change and then fails
// leaves nothing behind for the next one to read.
func profileChangeFails(t *testing.T, s signing.Store) {
	one := aProfile("build", "aaaaaaaaaa")
	one.Revocation = &signing.ProfileRevocation{RevokedAt: t0, EffectiveFrom: t0}
	keep(t, s, func(tx signing.Tx) error { return tx.AddProfile(one) })
	current := func(tx signing.Tx) (signing.Profile, error) { return tx.Profile(account, "build") }
	failed := errors.New("no")
	for name, change := range map[string]func(tx signing.Tx, p signing.Profile) error{
		"status": func(tx signing.Tx, p signing.Profile) error {
			p.Status = signing.ProfileCanceled
			return tx.SetProfile(p)
		},
		"version": func(tx signing.Tx, p signing.Profile) error { p.ARN.Version = "bbbbbbbbbb"; return tx.AddProfile(p) },
	} {
		err := s.Update(context.Background(), func(tx signing.Tx) error {
			before, err := current(tx)
			if err != nil {
				return err
			}
			if err := change(tx, before); err != nil {
				return err
			}
			if p, err := current(tx); err != nil || cmp.Equal(p, before) {
				t.Errorf("%s: the change is not read in its own transaction: %v", name, err)
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("%s: error %v", name, err)
		}
		keep(t, s, func(tx signing.Tx) error { p, err := current(tx); same(t, name, p, one); return err })
		same(t, name, read(t, s, current), one)
	}
	// What was read is the reader's own.
	keep(t, s, func(tx signing.Tx) error {
		p, err := current(tx)
		p.Parameters["b"], p.Revocation.Reason = "changed", "changed"
		return err
	})
	keep(t, s, func(tx signing.Tx) error { p, err := current(tx); same(t, "read again", p, one); return err })
}

func profileList(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error {
		for _, name := range []string{"delta", "Alpha", "charlie", "bravo"} {
			p := aProfile(name, "aaaaaaaaaa")
			if name == "bravo" {
				p.Status = signing.ProfileCanceled
			}
			if err := errors.Join(tx.AddProfile(p), tx.AddProfile(func() signing.Profile { p.ARN.Version = "bbbbbbbbbb"; return p }())); err != nil {
				return err
			}
		}
		other := aProfile("foreign", "aaaaaaaaaa")
		other.ARN.Account = "999999999999"
		return tx.AddProfile(other)
	})
	for name, test := range map[string]struct {
		q    signing.ProfileQuery
		want string
	}{
		"all":               {signing.ProfileQuery{Limit: 10}, "Alpha bravo charlie delta"},
		"a page":            {signing.ProfileQuery{Limit: 2}, "Alpha bravo"},
		"the next page":     {signing.ProfileQuery{Limit: 2, After: "bravo"}, "charlie delta"},
		"after another":     {signing.ProfileQuery{Limit: 2, After: "BRAVA"}, "bravo charlie"},
		"beyond the end":    {signing.ProfileQuery{Limit: 2, After: "delta"}, ""},
		"by status":         {signing.ProfileQuery{Limit: 10, Statuses: []signing.ProfileStatus{signing.ProfileActive}}, "Alpha charlie delta"},
		"by either status":  {signing.ProfileQuery{Limit: 10, Statuses: []signing.ProfileStatus{signing.ProfileRevoked, signing.ProfileCanceled}}, "bravo"},
		"a page by a state": {signing.ProfileQuery{Limit: 1, After: "alpha", Statuses: []signing.ProfileStatus{signing.ProfileActive}}, "charlie"},
	} {
		t.Run(name, func(t *testing.T) {
			test.q.Account = account
			var names []string
			for _, p := range read(t, s, func(tx signing.Tx) ([]signing.Profile, error) { return tx.Profiles(test.q) }) {
				names = append(names, p.ARN.Name)
				if p.ARN.Version != "bbbbbbbbbb" || !p.Current {
					t.Errorf("%s is of version %s", p.ARN.Name, p.ARN.Version)
				}
			}
			same(t, "names", strings.Join(names, " "), test.want)
		})
	}
}

func profileTags(t *testing.T, s signing.Store) {
	get := func(tx signing.Tx) (map[string]string, error) { return tx.Tags(account, "BUILD") }
	if tags := read(t, s, get); len(tags) != 0 {
		t.Errorf("tags before any were set: %v", tags)
	}
	want := map[string]string{"team": "a", "empty": "", "k:=/+": "\"<日>"}
	keep(t, s, func(tx signing.Tx) error { return tx.SetTags(account, "Build", want) })
	keep(t, s, func(tx signing.Tx) error { return tx.SetPermissions(account, "build", "r1", nil) })
	same(t, "tags", read(t, s, get), want)
	keep(t, s, func(tx signing.Tx) error { return tx.SetTags(account, "build", nil) })
	if tags := read(t, s, get); len(tags) != 0 {
		t.Errorf("tags after all were taken: %v", tags)
	}
}

func profilePermissions(t *testing.T, s signing.Store) {
	type answer struct {
		Revision string
		List     []signing.Permission
	}
	get := func(tx signing.Tx) (a answer, err error) {
		a.Revision, a.List, err = tx.Permissions(account, "BUILD")
		return a, err
	}
	same(t, "before any", read(t, s, get), answer{})
	want := []signing.Permission{
		{StatementID: "z", Action: "signer:SignPayload", Principal: "999999999999"},
		{StatementID: "a", Action: "signer:GetSigningProfile", Principal: "arn:aws:iam::999999999999:user/u", ProfileVersion: "abcdefghij"},
	}
	keep(t, s, func(tx signing.Tx) error { return tx.SetPermissions(account, "build", "r1", want) })
	keep(t, s, func(tx signing.Tx) error { return tx.SetTags(account, "build", map[string]string{"a": "b"}) })
	same(t, "set", read(t, s, get), answer{"r1", want})
	keep(t, s, func(tx signing.Tx) error { return tx.SetPermissions(account, "Build", "r2", want[1:]) })
	same(t, "replaced", read(t, s, get), answer{"r2", want[1:]})
}

func aJob(n int) signing.Job {
	at := t0.Add(time.Duration(n) * time.Second)
	return signing.Job{
		ARN:     awsprofile.Job{Partition: "aws", Region: "us-west-2", Account: account, ID: fmt.Sprintf("job-%04d", n)},
		Profile: aProfile("build", "aaaaaaaaaa").ARN, Kind: signing.KindAWS, RequestedBy: fmt.Sprintf("arn:aws:iam::%s:user/u%d", account, n%3),
		Invoker: account, Created: at, Completed: at.Add(time.Microsecond), SignedAt: at.Truncate(time.Second), Expires: at.AddDate(11, 3, 0),
		Status: signing.JobSucceeded, PayloadSHA256: hex64, SignatureInput: hex64, Authority: "ca1", Serial: fmt.Sprintf("%x", n),
		CertificateIDs: []string{"id1", "id2"}, Entry: int64(n),
	}
}

func jobKept(t *testing.T, s signing.Store) {
	want := aJob(7)
	bare := signing.Job{ARN: aJob(8).ARN, Profile: want.Profile, Created: t0, Completed: t0, SignedAt: t0, Expires: t0}
	keep(t, s, func(tx signing.Tx) error { return errors.Join(tx.AddJob(want), tx.AddJob(bare)) })
	same(t, "job", read(t, s, func(tx signing.Tx) (signing.Job, error) { return tx.Job(account, "job-0007") }), want)
	same(t, "bare job", read(t, s, func(tx signing.Tx) (signing.Job, error) { return tx.Job(account, "job-0008") }), bare)
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Job("999999999999", "job-0007"); return err })
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Job(account, "job-0009"); return err })
}

func jobOnce(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
	if !errors.Is(err, signing.ErrExists) {
		t.Errorf("a job twice: %v", err)
	}
}

func jobRevoked(t *testing.T, s signing.Store) {
	want := aJob(1)
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(want) })
	want.Revocation = &signing.JobRevocation{Reason: "leaked", RevokedAt: t0.Add(time.Hour), RevokedBy: "x"}
	sent := want
	sent.Serial = "ffff"
	keep(t, s, func(tx signing.Tx) error { return tx.SetJobRevocation(sent) })
	same(t, "job", read(t, s, func(tx signing.Tx) (signing.Job, error) { return tx.Job(account, want.ARN.ID) }), want)
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.SetJobRevocation(aJob(2)) })
	if !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("a job that is not there: %v", err)
	}
}

func ids(list []signing.Job) string {
	var out []string
	for _, j := range list {
		out = append(out, strings.TrimPrefix(j.ARN.ID, "job-"))
	}
	return strings.Join(out, " ")
}

func jobPages(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error {
		for _, n := range []int{3, 1, 2} {
			if err := tx.AddJob(aJob(n)); err != nil {
				return err
			}
		}
		for n := 4; n < 8; n++ { // all at one time, which is that of job 1
			j := aJob(n)
			j.Created = aJob(1).Created
			if err := tx.AddJob(j); err != nil {
				return err
			}
		}
		other := aJob(9)
		other.ARN.Account = "999999999999"
		return tx.AddJob(other)
	})
	var got []string
	after := ""
	for {
		page := read(t, s, func(tx signing.Tx) ([]signing.Job, error) {
			return tx.Jobs(signing.JobQuery{Account: account, After: after, Limit: 2})
		})
		if len(page) == 0 {
			break
		}
		got = append(got, ids(page))
		after = page[len(page)-1].ARN.ID
	}
	if len(got) != 4 || got[0] != "0003 0002" {
		t.Fatalf("pages %q", got)
	}
	// Those of one time stand in any order that stays the same.
	seen := map[string]bool{}
	for _, id := range strings.Fields(strings.Join(got, " ")) {
		if seen[id] {
			t.Errorf("job %s is listed twice", id)
		}
		seen[id] = true
	}
	if len(seen) != 7 {
		t.Errorf("listed %v", seen)
	}
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error {
		_, err := tx.Jobs(signing.JobQuery{Account: account, After: "job-0009", Limit: 2})
		return err
	})
}

func jobFilters(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error {
		for n := range 6 {
			j := aJob(n)
			if n == 4 {
				j.Invoker = "999999999999"
			}
			if n%2 == 0 {
				j.Revocation = &signing.JobRevocation{RevokedAt: t0}
			}
			if err := tx.AddJob(j); err != nil {
				return err
			}
		}
		return nil
	})
	yes, no := true, false
	for name, test := range map[string]struct {
		q    signing.JobQuery
		want string
	}{
		"all":                 {signing.JobQuery{}, "0005 0004 0003 0002 0001 0000"},
		"by who asked":        {signing.JobQuery{RequestedBy: aJob(1).RequestedBy}, "0004 0001"},
		"by account of who":   {signing.JobQuery{Invoker: "999999999999"}, "0004"},
		"revoked":             {signing.JobQuery{Revoked: &yes}, "0004 0002 0000"},
		"not revoked":         {signing.JobQuery{Revoked: &no}, "0005 0003 0001"},
		"expiring before":     {signing.JobQuery{ExpiresBefore: aJob(2).Expires}, "0001 0000"},
		"expiring after":      {signing.JobQuery{ExpiresAfter: aJob(3).Expires}, "0005 0004"},
		"far away":            {signing.JobQuery{ExpiresBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, "0005 0004 0003 0002 0001 0000"},
		"of a status":         {signing.JobQuery{Status: signing.JobSucceeded}, "0005 0004 0003 0002 0001 0000"},
		"of a status unknown": {signing.JobQuery{Status: "Failed"}, ""},
		"of all sorts":        {signing.JobQuery{Revoked: &yes, After: "job-0004", RequestedBy: aJob(2).RequestedBy, Status: signing.JobSucceeded}, "0002"},
	} {
		t.Run(name, func(t *testing.T) {
			test.q.Account, test.q.Limit = account, 25
			same(t, "jobs", ids(read(t, s, func(tx signing.Tx) ([]signing.Job, error) { return tx.Jobs(test.q) })), test.want)
		})
	}
}

func aReply(n int) signing.Reply {
	return signing.Reply{
		Principal: "p", InvocationID: fmt.Sprint("i", n), BodySHA256: "b", Job: aJob(n).ARN, Envelope: []byte{0, 1, 2, byte(n)},
		Created: t0.Add(time.Duration(n) * time.Minute),
	}
}

func replies(t *testing.T, s signing.Store) {
	want := aReply(1)
	keep(t, s, func(tx signing.Tx) error { return tx.AddReply(want) })
	same(t, "reply", read(t, s, func(tx signing.Tx) (signing.Reply, error) { return tx.Reply("p", "i1", "b", want.Created) }), want)
	for name, key := range map[string][3]string{
		"another principal": {"q", "i1", "b"}, "another invocation": {"p", "i2", "b"}, "another body": {"p", "i1", "c"},
		"the same letters": {"pi", "1", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Reply(key[0], key[1], key[2], t0); return err })
		})
	}
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error {
		_, err := tx.Reply("p", "i1", "b", want.Created.Add(time.Microsecond))
		return err
	})
	keep(t, s, func(tx signing.Tx) error {
		if err := tx.AddReply(want); !errors.Is(err, signing.ErrExists) {
			t.Errorf("a reply twice: %v", err)
		}
		return tx.AddReply(aReply(2)) // the transaction is still good
	})
}

func repliesPurged(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error {
		for n := range 5 {
			if err := tx.AddReply(aReply(n)); err != nil {
				return err
			}
		}
		return nil
	})
	left := func(n int) string {
		out := ""
		for i := range n {
			err := s.View(context.Background(), func(tx signing.Tx) error { _, err := tx.Reply("p", fmt.Sprint("i", i), "b", time.Time{}); return err })
			if err == nil {
				out += fmt.Sprint(i)
			} else if !errors.Is(err, signing.ErrNotFound) {
				t.Fatal(err)
			}
		}
		return out
	}
	keep(t, s, func(tx signing.Tx) error { return tx.PurgeReplies(aReply(3).Created) })
	same(t, "left", left(5), "34")
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.PurgeReplies(t0.AddDate(1, 0, 0)), tx.AddReply(aReply(4)))
	})
	same(t, "left after all went", left(5), "4")
}

func repliesPurgedInParts(t *testing.T, s signing.Store) {
	const most, parts = limits.ReplyPurge, 3
	keep(t, s, func(tx signing.Tx) error {
		for n := range parts*most + 10 {
			if err := tx.AddReply(aReply(n)); err != nil {
				return err
			}
		}
		return nil
	})
	there := func(n int) bool {
		err := s.View(context.Background(), func(tx signing.Tx) error {
			_, err := tx.Reply("p", fmt.Sprint("i", n), "b", time.Time{})
			return err
		})
		if err != nil && !errors.Is(err, signing.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	old := aReply(parts * most).Created
	for part := range parts {
		keep(t, s, func(tx signing.Tx) error { return tx.PurgeReplies(old) })
		if there((part+1)*most-1) || !there((part+1)*most) {
			t.Errorf("purge %d did not drop the oldest %d", part+1, most)
		}
	}
	keep(t, s, func(tx signing.Tx) error { return tx.PurgeReplies(old) })
	if !there(parts * most) {
		t.Error("one that is not old was purged")
	}
}

func replyDropped(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddReply(aReply(1)), tx.AddReply(aReply(2)), tx.DropReply("p", "i1", "b"), tx.DropReply("p", "i1", "b"))
	})
	err := s.View(context.Background(), func(tx signing.Tx) error { _, err := tx.Reply("p", "i1", "b", time.Time{}); return err })
	if !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("the one dropped: %v", err)
	}
	keep(t, s, func(tx signing.Tx) error {
		_, err := tx.Reply("p", "i2", "b", time.Time{})
		return errors.Join(err, tx.AddReply(aReply(1)))
	})
}

func requestClockKept(t *testing.T, s signing.Store) {
	clock := func(principal string) time.Time {
		return read(t, s, func(tx signing.Tx) (time.Time, error) { return tx.RequestClock(principal) })
	}
	set := func(principal string, at time.Time) {
		t.Helper()
		keep(t, s, func(tx signing.Tx) error { return tx.SetRequestClock(principal, at) })
	}
	if at := clock("a"); !at.IsZero() {
		t.Errorf("a new clock says %s", at)
	}
	set("a", t0)
	set("b", t0.Add(time.Hour))
	same(t, "once set", clock("a"), t0)
	set("a", t0.Add(time.Second))
	same(t, "moved", clock("a"), t0.Add(time.Second))
	set("a", t0)
	same(t, "moved back", clock("a"), t0.Add(time.Second))
	same(t, "another's", clock("b"), t0.Add(time.Hour))
	no := errors.New("no")
	if err := s.Update(context.Background(), func(tx signing.Tx) error {
		return errors.Join(tx.SetRequestClock("a", t0.Add(time.Hour)), no)
	}); !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
	same(t, "after an update that failed", clock("a"), t0.Add(time.Second))
	for _, want := range []int64{1, 0} {
		keep(t, s, func(tx signing.Tx) error {
			n, err := tx.CapRequestClocks(t0.Add(time.Minute))
			same(t, "capped", n, want)
			return err
		})
	}
	same(t, "of those capped, the later one", clock("b"), t0.Add(time.Minute))
	same(t, "and the earlier one", clock("a"), t0.Add(time.Second))
}

func anAuthority(id string) signing.Authority {
	return signing.Authority{
		ID: id, Profile: aProfile("build", "aaaaaaaaaa").ARN, Chain: [][]byte{{1, 2, 3}, {}, []byte(strings.Repeat("c", 300))},
		SealedKey: []byte{0, 9}, NotBefore: t0, NotAfter: t0.AddDate(1, 0, 0),
	}
}

func authorityKept(t *testing.T, s signing.Store) {
	want := anAuthority("aa")
	want.CRL, want.CRLNumber, want.CRLNext = []byte{3, 0, 3}, 7, t0
	want.Revoked = &signing.AuthorityRevocation{At: t0, InvalidityDate: t0.Add(-time.Hour)}
	intermediate := signing.Authority{ID: "bb", NotBefore: t0, NotAfter: t0}
	keep(t, s, func(tx signing.Tx) error { return errors.Join(tx.AddAuthority(want), tx.AddAuthority(intermediate)) })
	same(t, "authority", read(t, s, func(tx signing.Tx) (signing.Authority, error) { return tx.Authority("aa") }), want)
	same(t, "intermediate", read(t, s, func(tx signing.Tx) (signing.Authority, error) { return tx.Authority("bb") }), intermediate)
	same(t, "all", read(t, s, func(tx signing.Tx) ([]signing.Authority, error) { return tx.Authorities() }), []signing.Authority{want, intermediate})
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Authority("cc"); return err })
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddAuthority(anAuthority("aa")) })
	if !errors.Is(err, signing.ErrExists) {
		t.Errorf("an authority twice: %v", err)
	}
}

func authorityChanged(t *testing.T, s signing.Store) {
	want := anAuthority("aa")
	keep(t, s, func(tx signing.Tx) error { return tx.AddAuthority(want) })
	want.CRL, want.CRLNumber, want.CRLNext = []byte(strings.Repeat("crl", 100_000)), 8, t0.Add(time.Hour)
	want.Revoked = &signing.AuthorityRevocation{At: t0, InvalidityDate: t0}
	sent := want
	sent.SealedKey, sent.Chain, sent.NotAfter = nil, nil, t0
	keep(t, s, func(tx signing.Tx) error { return tx.SetAuthority(sent) })
	same(t, "authority", read(t, s, func(tx signing.Tx) (signing.Authority, error) { return tx.Authority("aa") }), want)
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.SetAuthority(anAuthority("bb")) })
	if !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("an authority that is not there: %v", err)
	}
}

func authorityNewest(t *testing.T, s signing.Store) {
	first, second, other := anAuthority("f0"), anAuthority("0f"), anAuthority("ff")
	other.Profile.Version = "bbbbbbbbbb"
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddAuthority(first), tx.AddAuthority(second), tx.AddAuthority(other))
	})
	same(t, "newest", read(t, s, func(tx signing.Tx) (signing.Authority, error) { return tx.AuthorityOf(first.Profile) }).ID, "0f")
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.AuthorityOf(first.Profile.Unversioned()); return err })
}

func revokedCertificates(t *testing.T, s signing.Store) {
	list := []signing.RevokedCertificate{
		{Authority: "aa", Serial: "02", At: t0.Add(time.Hour), Job: "j2"}, {Authority: "aa", Serial: "01", At: t0, Job: "j1"},
		{Authority: "aa", Serial: "00", At: t0.Add(time.Hour)}, {Authority: "bb", Serial: "01", At: t0},
	}
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddAuthority(anAuthority("aa")), tx.AddAuthority(anAuthority("bb")))
	})
	for _, r := range list {
		keep(t, s, func(tx signing.Tx) error { return tx.AddRevokedCertificate(r) })
	}
	same(t, "of one authority", read(t, s, func(tx signing.Tx) ([]signing.RevokedCertificate, error) { return tx.RevokedCertificates("aa") }),
		[]signing.RevokedCertificate{list[1], list[0], list[2]})
	for serial, want := range map[string]bool{"01": true, "02": false} {
		same(t, serial, read(t, s, func(tx signing.Tx) (bool, error) { return tx.CertificateRevoked("bb", serial) }), want)
	}
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddRevokedCertificate(list[0]) })
	if !errors.Is(err, signing.ErrExists) {
		t.Errorf("a certificate twice: %v", err)
	}
}

func revokedIDs(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddRevokedID("a", t0), tx.AddRevokedID("b", t0), tx.AddRevokedID("a", t0.Add(1)))
	})
	same(t, "revoked", read(t, s, func(tx signing.Tx) ([]string, error) { return tx.RevokedIDs([]string{"c", "b", "A", "a"}) }), []string{"b", "a"})
	same(t, "none", read(t, s, func(tx signing.Tx) ([]string, error) { return tx.RevokedIDs(nil) }), nil)
	own, other, after := strings.Repeat("0a", 48), strings.Repeat("ff", 48), strings.Repeat("0b", 48)
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddRevokedID(own+other, t0), tx.AddRevokedID(own+after, t0), tx.AddRevokedID(after+own, t0), tx.AddRevokedID(other+other, t0))
	})
	editions := func(ids ...string) []string {
		return read(t, s, func(tx signing.Tx) ([]string, error) { return tx.RevokedEditions(ids) })
	}
	same(t, "editions", editions(other+own, own+own), []string{other + other, own + after, own + other})
	same(t, "no edition", editions(strings.Repeat("0a", 47)+"0b"+other), nil)
	same(t, "editions of none", editions(), nil)
}

func aCertificate(id string) signing.Certificate {
	return signing.Certificate{
		ARN:   awsprofile.Certificate{Partition: "aws-cn", Region: "cn-north-1", Account: account, ID: "01990000-0000-4000-8000-00000000000" + id},
		Chain: [][]byte{{1, 2, 3}, []byte(strings.Repeat("c", 300))}, IDs: []string{"id1", "id2"}, SealedKey: []byte{0, 9},
		NotBefore: t0, NotAfter: t0.AddDate(1, 0, 0), Imported: t0.Add(time.Second),
	}
}

func certificateKept(t *testing.T, s signing.Store) {
	one, two := aCertificate("a"), aCertificate("b")
	two.ARN.Account, two.IDs = "444455556666", nil
	keep(t, s, func(tx signing.Tx) error { return errors.Join(tx.AddCertificate(one), tx.AddCertificate(two)) })
	same(t, "certificate", read(t, s, func(tx signing.Tx) (signing.Certificate, error) { return tx.Certificate(one.ARN) }), one)
	same(t, "all", read(t, s, func(tx signing.Tx) ([]signing.Certificate, error) { return tx.Certificates() }), []signing.Certificate{one, two})
	foreign := one.ARN
	foreign.Account = two.ARN.Account
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Certificate(foreign); return err })
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddCertificate(one) })
	if !errors.Is(err, signing.ErrExists) {
		t.Errorf("a certificate twice: %v", err)
	}
}

func certificateDeleted(t *testing.T, s signing.Store) {
	want := aCertificate("a")
	keep(t, s, func(tx signing.Tx) error { return tx.AddCertificate(want) })
	want.SealedKey, want.Deleted = nil, t0.Add(time.Hour)
	sent := want
	sent.Chain, sent.IDs, sent.NotAfter = nil, nil, t0
	keep(t, s, func(tx signing.Tx) error { return tx.SetCertificate(sent) })
	same(t, "certificate", read(t, s, func(tx signing.Tx) (signing.Certificate, error) { return tx.Certificate(want.ARN) }), want)
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.SetCertificate(aCertificate("b")) })
	if !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("a certificate that is not there: %v", err)
	}
}

func profilesOfACertificate(t *testing.T, s signing.Store) {
	arn := aCertificate("a").ARN
	old, now, other, canceled := aProfile("old", "aaaaaaaaaa"), aProfile("now", "aaaaaaaaaa"), aProfile("other", "aaaaaaaaaa"), aProfile("canceled", "aaaaaaaaaa")
	next := aProfile("old", "bbbbbbbbbb")
	old.Certificate, now.Certificate, canceled.Certificate, canceled.Status = arn, arn, arn, signing.ProfileCanceled
	other.Certificate = aCertificate("b").ARN
	job := aJob(1)
	job.Certificate = arn
	revoked := aJob(2)
	revoked.Certificate, revoked.Revocation = arn, &signing.JobRevocation{Reason: "why", RevokedAt: t0, RevokedBy: "me"}
	keep(t, s, func(tx signing.Tx) error {
		return errors.Join(tx.AddProfile(old), tx.AddProfile(next), tx.AddProfile(now), tx.AddProfile(other), tx.AddProfile(canceled), tx.AddJob(job), tx.AddJob(revoked))
	})
	query := signing.ProfileQuery{Account: account, Statuses: []signing.ProfileStatus{signing.ProfileActive}, Certificate: arn, Limit: 5}
	same(t, "those that are current and active", read(t, s, func(tx signing.Tx) ([]signing.Profile, error) { return tx.Profiles(query) }), []signing.Profile{now})
	again := aProfile("again", "aaaaaaaaaa")
	again.Certificate = arn
	keep(t, s, func(tx signing.Tx) error { return tx.AddProfile(again) })
	same(t, "in use, each once", read(t, s, func(tx signing.Tx) ([]awsprofile.Certificate, error) { return tx.CertificatesInUse() }), []awsprofile.Certificate{arn, other.Certificate})
	for _, want := range []signing.Job{job, revoked} {
		same(t, "a job of it", read(t, s, func(tx signing.Tx) (signing.Job, error) { return tx.Job(account, want.ARN.ID) }), want)
	}
}

func credentials(t *testing.T, s signing.Store) {
	one := signing.Credential{
		AccessKeyID: "AKIA1", SealedSecret: []byte{0, 255}, Account: account, Principal: "arn:p", Actions: []string{"signer:*"},
		Profiles: []string{"a", "b"}, Created: t0,
	}
	two := signing.Credential{AccessKeyID: "AKIA0", SealedSecret: []byte{1}, Account: account, Created: t0.Add(1e6), Expires: t0.AddDate(0, 1, 0)}
	keep(t, s, func(tx signing.Tx) error { return errors.Join(tx.AddCredential(two), tx.AddCredential(one)) })
	get := func(tx signing.Tx) (signing.Credential, error) { return tx.Credential("AKIA1") }
	same(t, "credential", read(t, s, get), one)
	same(t, "all", read(t, s, func(tx signing.Tx) ([]signing.Credential, error) { return tx.Credentials() }), []signing.Credential{one, two})
	one.Disabled, one.Expires = true, t0.Add(time.Hour)
	sent := one
	sent.Actions, sent.SealedSecret = nil, nil
	keep(t, s, func(tx signing.Tx) error { return tx.SetCredential(sent) })
	same(t, "changed", read(t, s, get), one)
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Credential("akia1"); return err })
	err := s.Update(context.Background(), func(tx signing.Tx) error { return tx.AddCredential(one) })
	if !errors.Is(err, signing.ErrExists) {
		t.Errorf("a credential twice: %v", err)
	}
	err = s.Update(context.Background(), func(tx signing.Tx) error { return tx.SetCredential(signing.Credential{AccessKeyID: "AKIA2"}) })
	if !errors.Is(err, signing.ErrNotFound) {
		t.Errorf("a credential that is not there: %v", err)
	}
}

func clockKept(t *testing.T, s signing.Store) {
	clock := func(tx signing.Tx) (time.Time, error) { return tx.Clock() }
	if at := read(t, s, clock); !at.IsZero() {
		t.Errorf("a new clock says %s", at)
	}
	keep(t, s, func(tx signing.Tx) error {
		if at, err := tx.Clock(); err != nil || !at.IsZero() {
			t.Errorf("a new clock says %s, %v", at, err)
		}
		if err := tx.SetClock(t0); err != nil {
			return err
		}
		at, err := tx.Clock()
		same(t, "in the transaction", at, t0)
		return err
	})
	same(t, "after it", read(t, s, clock), t0)
	failed := errors.New("no")
	if err := s.Update(context.Background(), func(tx signing.Tx) error { return errors.Join(tx.SetClock(t0.Add(time.Hour)), failed) }); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	same(t, "after one that failed", read(t, s, clock), t0)
	keep(t, s, func(tx signing.Tx) error { at, err := tx.Clock(); same(t, "in the next one", at, t0); return err })
}

func anEntry(n int) audit.Entry {
	return audit.Entry{Kind: audit.TagChange, Time: t0, Principal: "p", Detail: fmt.Sprint(n)}
}

// appendOne adds one entry and says where.
func appendOne(tx signing.Tx, n int, index *int64) (err error) {
	*index, err = tx.AppendEntry(anEntry(n))
	return err
}

func logIndexes(t *testing.T, s signing.Store) {
	var got [4]int64
	keep(t, s, func(tx signing.Tx) error { return errors.Join(appendOne(tx, 0, &got[0]), appendOne(tx, 1, &got[1])) })
	_ = s.Update(context.Background(), func(tx signing.Tx) error {
		return errors.Join(appendOne(tx, 9, &got[2]), errors.New("no"))
	})
	same(t, "index of one that failed", got[2], 2)
	keep(t, s, func(tx signing.Tx) error { return errors.Join(appendOne(tx, 2, &got[2]), appendOne(tx, 3, &got[3])) })
	same(t, "indexes", got, [4]int64{0, 1, 2, 3})
	err := s.Update(context.Background(), func(tx signing.Tx) error {
		_, err := tx.AppendEntry(audit.Entry{Kind: audit.SignResult, Time: t0, Attempt: 4})
		return err
	})
	if err == nil {
		t.Error("an entry answers itself")
	}
}

func updateFails(t *testing.T, s signing.Store) {
	failed := errors.New("no")
	err := s.Update(context.Background(), func(tx signing.Tx) error {
		return errors.Join(tx.AddJob(aJob(1)), tx.AddProfile(aProfile("build", "aaaaaaaaaa")), failed)
	})
	if !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Job(account, aJob(1).ARN.ID); return err })
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Profile(account, "build"); return err })
}

func updatePanics(t *testing.T, s signing.Store) {
	err := s.Update(context.Background(), func(tx signing.Tx) error {
		if err := tx.AddJob(aJob(1)); err != nil {
			return err
		}
		panic("boom")
	})
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error %v", err)
	}
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Job(account, aJob(1).ARN.ID); return err })
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
}

func updateGoesOn(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
	keep(t, s, func(tx signing.Tx) error {
		if err := tx.AddJob(aJob(1)); !errors.Is(err, signing.ErrExists) {
			t.Errorf("error %v", err)
		}
		return tx.AddJob(aJob(2))
	})
	same(t, "jobs", ids(read(t, s, func(tx signing.Tx) ([]signing.Job, error) {
		return tx.Jobs(signing.JobQuery{Account: account, Limit: 9})
	})), "0002 0001")
}

func updateCancelled(t *testing.T, s signing.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, call := range []func(context.Context, func(signing.Tx) error) error{s.Update, s.View} {
		err := call(ctx, func(signing.Tx) error { t.Error("it ran"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

func updateGoesThrough(t *testing.T, s signing.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Update(ctx, func(tx signing.Tx) error { cancel(); return tx.AddJob(aJob(1)) })
	if err != nil {
		t.Errorf("error %v", err)
	}
	view(t, s, func(tx signing.Tx) error { _, err := tx.Job(account, aJob(1).ARN.ID); return err })
}

func updatesTogether(t *testing.T, s signing.Store) {
	const n = 200
	failed := errors.New("no")
	errs := make(chan error, n)
	var index [n]int64
	for i := range n {
		go func() {
			err := s.Update(context.Background(), func(tx signing.Tx) error {
				if err := errors.Join(appendOne(tx, i, &index[i]), tx.AddJob(aJob(i))); err != nil {
					return err
				}
				switch i % 5 {
				case 1:
					return failed
				case 2:
					panic("boom")
				}
				return nil
			})
			switch ok := err == nil; {
			case ok != (i%5 != 1 && i%5 != 2), i%5 == 1 && !errors.Is(err, failed):
				errs <- fmt.Errorf("update %d: %w", i, err)
			default:
				errs <- nil
			}
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	seen := map[int64]bool{}
	view(t, s, func(tx signing.Tx) error {
		for i := range n {
			_, err := tx.Job(account, aJob(i).ARN.ID)
			if kept := i%5 != 1 && i%5 != 2; kept {
				if err != nil || seen[index[i]] || index[i] >= n*3/5 {
					t.Errorf("update %d: entry %d, %v", i, index[i], err)
				}
				seen[index[i]] = true
			} else if !errors.Is(err, signing.ErrNotFound) {
				t.Errorf("update %d failed, and its job: %v", i, err)
			}
		}
		return nil
	})
}

func viewConsistent(t *testing.T, s signing.Store) {
	keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(1)) })
	list := func(tx signing.Tx) string {
		jobs, err := tx.Jobs(signing.JobQuery{Account: account, Limit: 9})
		if err != nil {
			t.Error(err)
		}
		return ids(jobs)
	}
	view(t, s, func(tx signing.Tx) error {
		before := list(tx)
		keep(t, s, func(tx signing.Tx) error { return tx.AddJob(aJob(2)) })
		same(t, "in the view", list(tx), before)
		return nil
	})
	same(t, "in the next view", read(t, s, func(tx signing.Tx) (string, error) { return list(tx), nil }), "0002 0001")
}

func viewReadOnly(t *testing.T, s signing.Store) {
	view(t, s, func(tx signing.Tx) error {
		if tx.AddJob(aJob(1)) == nil || tx.SetClock(t0) == nil {
			t.Error("a view wrote")
		}
		if _, err := tx.AppendEntry(anEntry(1)); err == nil {
			t.Error("a view wrote to the log")
		}
		return nil
	})
	is(t, s, signing.ErrNotFound, func(tx signing.Tx) error { _, err := tx.Job(account, aJob(1).ARN.ID); return err })
}

func txEnded(t *testing.T, s signing.Store) {
	var kept signing.Tx
	keep(t, s, func(tx signing.Tx) error { kept = tx; return nil })
	if kept.AddJob(aJob(1)) == nil {
		t.Error("a transaction wrote after its end")
	}
	view(t, s, func(tx signing.Tx) error { kept = tx; return nil })
	if _, err := kept.Clock(); err == nil {
		t.Error("a view read after its end")
	}
}
