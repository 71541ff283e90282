package main

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// ownCA writes an intermediate of a company: its chain and its key.
func (b *bench) ownCA(t *testing.T, name string) (chain, key string) {
	t.Helper()
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Company", CommonName: "Root"}
	rootKey, err := issue.NewKey(issue.P256)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := issue.NewSerial()
	if err != nil {
		t.Fatal(err)
	}
	root, err := issue.NewRoot(subject, rootKey, serial, b.at.Add(-time.Hour), b.at.AddDate(20, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := issue.NewKey(issue.P256)
	if err != nil {
		t.Fatal(err)
	}
	if serial, err = issue.NewSerial(); err != nil {
		t.Fatal(err)
	}
	subject.CommonName = "Intermediate " + name
	ca, err := root.NewCA(t.Context(), issue.Request{Subject: subject, MaxPathLen: 1, Serial: serial, NotBefore: b.at.Add(-time.Hour), NotAfter: b.at.AddDate(10, 0, 0)}, caKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(caKey)
	if err != nil {
		t.Fatal(err)
	}
	chain, key = filepath.Join(b.dir, name+".pem"), filepath.Join(b.dir, name+".key")
	for path, data := range map[string][]byte{chain: issue.EncodeChain(ca.Chain()), key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

// TestAReplacedIntermediateLeavesALastCRL: signatures made below it can be
// verified until its own end, whoever made the one that follows it, and what it
// listed stays listed, also if the list was due when it was replaced.
func TestAReplacedIntermediateLeavesALastCRL(t *testing.T) {
	for _, c := range []struct {
		name string
		due  bool
		args func(t *testing.T, b *bench) []string
	}{
		{"by the root", false, func(_ *testing.T, b *bench) []string {
			return []string{"ca", "intermediate", "new", "--root-identity", filepath.Join(b.dir, "identity.txt")}
		}},
		{"by another CA's", false, func(t *testing.T, b *bench) []string {
			chain, key := b.ownCA(t, "theirs")
			return []string{"ca", "import", "--replace", "--chain", chain, "--key", key}
		}},
		{"while its CRL is due", true, func(t *testing.T, b *bench) []string {
			chain, key := b.ownCA(t, "theirs")
			return []string{"ca", "import", "--replace", "--chain", chain, "--key", key}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			n := b.node(t)
			if err := n.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			old := n.service.Intermediate.Chain()[0]
			job := signs(t, n, "standard", "a")
			revokeProfile(t, b, n, job, c.due)
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			b.logs.Reset()
			if status := run(t.Context(), b.app, append(c.args(t, b), "--config", b.path())); status != exitOK {
				t.Fatal(b.logs)
			}
			b.at = b.at.AddDate(1, 0, 0) // long after any other CRL of it
			n = b.node(t)
			if err := n.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.tend(t.Context())
			if n.service.Intermediate.Chain()[0].Equal(old) {
				t.Fatal("it was not replaced")
			}
			var row *signing.Authority
			var issuer signing.Authority
			if err := n.service.Store.View(t.Context(), func(tx signing.Tx) (err error) {
				if row, err = intermediateRow(tx, old); err == nil {
					issuer, err = tx.Authority(job.Authority)
				}
				return err
			}); err != nil || row == nil {
				t.Fatal(err)
			}
			list, err := x509.ParseRevocationList(row.CRL)
			if err != nil {
				t.Fatal(err)
			}
			if !list.NextUpdate.Equal(old.NotAfter) || !row.CRLNext.Equal(old.NotAfter) || list.CheckSignatureFrom(old) != nil {
				t.Errorf("the last CRL ends on %s and is known to end on %s, the intermediate on %s", list.NextUpdate, row.CRLNext, old.NotAfter)
			}
			ca, err := x509.ParseCertificate(issuer.Chain[0])
			if err != nil {
				t.Fatal(err)
			}
			if len(list.RevokedCertificateEntries) != 1 || !lists(list, ca.SerialNumber) {
				t.Errorf("it lists %d, want the revoked issuing CA alone", len(list.RevokedCertificateEntries))
			}
			if file, err := os.ReadFile(filepath.Join(n.c.CRL.Directory, row.ID+".crl")); err != nil || !slices.Equal(file, row.CRL) {
				t.Errorf("its file is another: %v", err)
			}
		})
	}
}

// TestTheLastCRLHasTheNewestEffectiveTime: one that was set while the CRL was
// due is not in the CRL there is.
func TestTheLastCRLHasTheNewestEffectiveTime(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := n.service.Intermediate.Chain()[0]
	job := signs(t, n, "standard", "a")
	revokeProfile(t, b, n, job, false)
	earlier := b.at.Add(-48 * time.Hour)
	revokeFrom(t, n, job, earlier, true)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	chain, key := b.ownCA(t, "theirs")
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"ca", "import", "--replace", "--config", b.path(), "--chain", chain, "--key", key}); status != exitOK {
		t.Fatal(b.logs)
	}
	n = b.node(t)
	var row *signing.Authority
	if err := n.service.Store.View(t.Context(), func(tx signing.Tx) (err error) { row, err = intermediateRow(tx, old); return err }); err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(row.CRL)
	if err != nil || len(list.RevokedCertificateEntries) != 1 {
		t.Fatalf("it lists %d, want the issuing CA alone: %v", len(list.RevokedCertificateEntries), err)
	}
	if got := invalidityDate(list.RevokedCertificateEntries[0]); !got.Equal(earlier) {
		t.Errorf("it says invalid from %s, the revocation %s", got, earlier)
	}
}

// revokeProfile revokes the version that job was signed with. due: its
// intermediate's CRL is the one from before, and marked.
func revokeProfile(t *testing.T, b *bench, n *node, job *signing.Job, due bool) {
	t.Helper()
	revokeFrom(t, n, job, b.at, due)
}

// revokeFrom is revokeProfile with an effective time.
func revokeFrom(t *testing.T, n *node, job *signing.Job, from time.Time, due bool) {
	t.Helper()
	row := func() (row *signing.Authority) {
		if err := n.service.Store.View(t.Context(), func(tx signing.Tx) (err error) {
			row, err = intermediateRow(tx, n.service.Intermediate.Chain()[0])
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return row
	}
	before := row().CRL
	if err := n.service.RevokeSigningProfile(t.Context(), caller(), signing.RevokeSigningProfileInput{
		ProfileName: job.Profile.Name, ProfileVersion: job.Profile.Version, Reason: "x", EffectiveTime: from}); err != nil {
		t.Fatal(err)
	}
	if !due {
		return
	}
	now := row()
	now.CRL, now.CRLNext = before, time.Time{}
	if err := n.service.Store.Update(t.Context(), func(tx signing.Tx) error { return tx.SetAuthority(*now) }); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherRootTakesThePlaceOfTheOldOne: with its files, and the old ones
// stay beside them.
func TestAnotherRootTakesThePlaceOfTheOldOne(t *testing.T) {
	b := newBench(t)
	c, err := b.loadConfig(b.path())
	if err != nil {
		t.Fatal(err)
	}
	files := c.caFiles()
	old, err := files.chain()
	if err != nil {
		t.Fatal(err)
	}
	chain, key := b.ownCA(t, "theirs")
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"ca", "import", "--config", b.path(), "--chain", chain, "--key", key}); status != exitFailed ||
		!strings.Contains(b.logs.String(), "ca import --replace") {
		t.Errorf("without --replace: status %d: %s", status, b.logs)
	}
	for _, want := range []string{"", "is the intermediate in use"} {
		b.logs.Reset()
		status := run(t.Context(), b.app, []string{"ca", "import", "--replace", "--config", b.path(), "--chain", chain, "--key", key})
		if (status == exitOK) != (want == "") || !strings.Contains(b.logs.String(), want) {
			t.Fatalf("status %d: %s", status, b.logs)
		}
	}
	now, err := files.chain()
	if err != nil {
		t.Fatal(err)
	}
	if root, err := readChain(files.root()); err != nil || !root[0].Equal(now[len(now)-1]) || root[0].Equal(old[1]) {
		t.Errorf("root.pem is not the new chain's root: %v", err)
	}
	if _, err := os.Stat(files.rootKey()); err == nil {
		t.Error("the old root's key is still there as if it were the new root's")
	}
	for name, cert := range map[string]*x509.Certificate{"intermediate": old[0], "root": old[1]} {
		for _, ext := range []string{".pem", ".key.age"} {
			path := filepath.Join(files.dir, name+"-"+strings.TrimLeft(hex.EncodeToString(cert.SerialNumber.Bytes()), "0")+ext)
			if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestAnIntermediateThatWasPutBackCanBeReplacedAnew: as readiness advises. The
// files that were put aside at first are still there.
func TestAnIntermediateThatWasPutBackCanBeReplacedAnew(t *testing.T) {
	b := newBench(t)
	files := b.caFiles(t)
	old, err := files.chain()
	if err != nil {
		t.Fatal(err)
	}
	chain, key := b.ownCA(t, "theirs")
	replace := func() int {
		b.logs.Reset()
		return run(t.Context(), b.app, []string{"ca", "import", "--replace", "--config", b.path(), "--chain", chain, "--key", key})
	}
	if status := replace(); status != exitOK {
		t.Fatal(b.logs)
	}
	copyOver := func(from, to string) {
		t.Helper()
		data, err := os.ReadFile(from)
		if err == nil {
			err = replaceFile(to, data, secretPerm)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyOver(files.aside("intermediate", old[0], certExt), files.intermediate())
	copyOver(files.aside("intermediate", old[0], keyExt), files.intermediateKey())
	// Not all of it yet, and that is said.
	if _, err := b.authority(t); err == nil || !strings.Contains(err.Error(), "root.pem is not the root of") {
		t.Errorf("without its root: %v", err)
	}
	copyOver(files.aside("root", old[1], certExt), files.root())
	if _, err := b.authority(t); err != nil {
		t.Fatal(err)
	}
	if status := replace(); status != exitOK {
		t.Fatal(b.logs)
	}
	if a, err := b.authority(t); err != nil || a.Chain()[0].Equal(old[0]) {
		t.Errorf("it was not replaced: %v", err)
	}
}

// TestNothingIsMadeWhereAnotherFileHasTheNameOfTheOldOne: neither a last CRL
// nor a certificate.
func TestNothingIsMadeWhereAnotherFileHasTheNameOfTheOldOne(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	files := b.caFiles(t)
	old, err := files.chain()
	if err != nil {
		t.Fatal(err)
	}
	path := files.aside("intermediate", old[0], certExt)
	if err := os.WriteFile(path, issue.EncodeChain(old[1:]), 0o600); err != nil {
		t.Fatal(err)
	}
	chain, key := b.ownCA(t, "theirs")
	b.logs.Reset()
	status := run(t.Context(), b.app, []string{"ca", "import", "--replace", "--config", b.path(), "--chain", chain, "--key", key})
	if status != exitFailed || !strings.Contains(b.logs.String(), path+" exists already: it is another certificate") || !strings.Contains(b.logs.String(), "move it away") {
		t.Errorf("status %d: %s", status, b.logs)
	}
	n = b.node(t)
	if err := n.service.Store.View(t.Context(), func(tx signing.Tx) error {
		row, err := intermediateRow(tx, old[0])
		if err == nil && row.CRLNext.Equal(old[0].NotAfter) {
			t.Error("its last CRL was made although it was not replaced")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestAReplacementThatWasKilledEndsWhenItIsGivenAgain: after any of its steps;
// and what is half-way there does not serve.
func TestAReplacementThatWasKilledEndsWhenItIsGivenAgain(t *testing.T) {
	for done, all := 0, 1; done <= all; done++ {
		b := newBench(t)
		files := b.caFiles(t)
		old, err := files.chain()
		if err != nil {
			t.Fatal(err)
		}
		chain, key := b.ownCA(t, "theirs")
		all = b.killedReplacement(t, chain, key, done)
		at, err := b.authority(t)
		switch hint := shuin.HintOf(err); {
		case err != nil && !strings.Contains(hint, "give that command again"):
			t.Errorf("after %d of %d steps: %v (%s)", done, all, err, hint)
		case err == nil && !at.Chain()[0].Equal(old[0]):
			continue // nothing was left to do
		}
		b.logs.Reset()
		if status := run(t.Context(), b.app, []string{"ca", "import", "--replace", "--config", b.path(), "--chain", chain, "--key", key}); status != exitOK {
			t.Errorf("after %d of %d steps: %s", done, all, b.logs)
			continue
		}
		if a, err := b.authority(t); err != nil || a.Chain()[0].Equal(old[0]) {
			t.Errorf("after %d of %d steps it was not replaced: %v", done, all, err)
		}
		for name, cert := range map[string]*x509.Certificate{"intermediate": old[0], "root": old[1]} {
			if err := sameCert(files.aside(name, cert, certExt), cert); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(files.aside(name, cert, keyExt)); err != nil {
				t.Error(err)
			}
		}
		if left, err := filepath.Glob(filepath.Join(files.dir, unfinished+"*")); err != nil || len(left) > 0 {
			t.Errorf("after %d of %d steps there are %v: %v", done, all, left, err)
		}
	}
}

// killedReplacement is ca import --replace up to a step, of all.
func (b *bench) killedReplacement(t *testing.T, chainPath, keyPath string, done int) (all int) {
	t.Helper()
	c, err := b.loadConfig(b.path())
	if err != nil {
		t.Fatal(err)
	}
	identity, err := b.identity(c.Identity)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := readChain(chainPath)
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := readKey(keyPath, identity.Lock())
	if err != nil {
		t.Fatal(err)
	}
	err = b.exclusive(t.Context(), c, func(y *ceremony) error {
		old, err := c.caFiles().replaced(identity)
		if err != nil {
			return err
		}
		r := replacement{files: c.caFiles(), identity: identity, old: old, root: chain[1]}
		todo, err := r.asides()
		if err != nil {
			return err
		}
		tmp, err := os.MkdirTemp(r.files.dir, unfinished+"*")
		if err != nil {
			return err
		}
		if err := y.write(t.Context(), imported{chain: chain, key: key, identity: identity}, tmp); err != nil {
			return err
		}
		steps := r.steps(todo, caFiles{tmp})
		all = len(steps)
		for _, step := range steps[:done] {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (b *bench) caFiles(t *testing.T) caFiles {
	t.Helper()
	c, err := b.loadConfig(b.path())
	if err != nil {
		t.Fatal(err)
	}
	return c.caFiles()
}

// authority opens the intermediate as a server does.
func (b *bench) authority(t *testing.T) (*issue.Authority, error) {
	t.Helper()
	c, err := b.loadConfig(b.path())
	if err != nil {
		t.Fatal(err)
	}
	identity, err := b.identity(c.Identity)
	if err != nil {
		t.Fatal(err)
	}
	return c.caFiles().authority(identity)
}

func TestACAThatEndedSaysHowEachKindIsReplaced(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	_, end := n.service.Intermediate.Validity()
	err := caValid(n.service.Intermediate, end)
	if err == nil || !strings.Contains(err.Error(), "ca intermediate new") || !strings.Contains(err.Error(), "ca import --replace") {
		t.Error(err)
	}
}

// TestAnIntermediateThatEndedCanBeReplaced: the server that does not start for
// it says so.
func TestAnIntermediateThatEndedCanBeReplaced(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	b.at = b.at.AddDate(16, 0, 0)
	b.shuind(t, exitOK, "signing times go on", acceptClock...)
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"ca", "intermediate", "new", "--root-identity", filepath.Join(b.dir, "identity.txt"), "--config", b.path()}); status != exitOK {
		t.Fatal(b.logs)
	}
	if err := caValid(b.node(t).service.Intermediate, b.at); err != nil {
		t.Error(err)
	}
}

// TestAnIntermediateListsNobodyElsesCAs: a CRL speaks for its issuer alone.
func TestAnIntermediateListsNobodyElsesCAs(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	revokeProfile(t, b, n, signs(t, n, "standard", "a"), false)
	if err := n.service.Store.View(t.Context(), func(tx signing.Tx) error {
		for want, issuer := range [][]byte{[]byte("another"), n.service.Intermediate.Chain()[0].Raw} {
			got, err := revokedBelow(tx, signing.Authority{Chain: [][]byte{issuer}})
			if err != nil || len(got) != want {
				t.Errorf("%d are listed, want %d: %v", len(got), want, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestOnlyOwnUnfinishedFilesAreSwept: the path may hold the characters of a
// pattern.
func TestOnlyOwnUnfinishedFilesAreSwept(t *testing.T) {
	base := t.TempDir()
	mine, other := filepath.Join(base, "data[12]", "ca"), filepath.Join(base, "data1", "ca")
	for _, dir := range []string{mine, other} {
		must(t, os.MkdirAll(filepath.Join(dir, unfinished+"1"), 0o700))
	}
	must(t, caFiles{mine}.sweep())
	if _, err := os.Stat(filepath.Join(mine, unfinished+"1")); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(other, unfinished+"1")); err != nil {
		t.Errorf("another installation's: %v", err)
	}
}
