package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/signing"
)

// recorder writes decisions down: to the file of records every one, to the
// signer's log, where there is a signer, what is new. It is gate.Options.Record.
// An answer that only explains another is no decision, and not written; nor is one
// to a dry run, which is answered as the decision would be.
type recorder struct {
	records *records      // nil: none
	store   signing.Store // nil: there is no signer's log here
	now     func() time.Time
	failed  func(error)
	news    news
}

func (r *recorder) record(ctx context.Context, w gate.Workload, v *gate.Verdict) error {
	if explains(ctx) {
		return nil
	}
	if dryRun(ctx) {
		return r.ready()
	}
	caller := callerOf(ctx)
	line, err := json.Marshal(newRecord(caller, w, v))
	if err == nil && r.records != nil {
		err = r.records.write(line)
	}
	if err == nil && r.store != nil {
		if err = r.log(ctx, caller, w, v, line); err != nil && r.records != nil {
			// The record says what was not told: say so beside it.
			text, merr := json.Marshal(withdrawn{"withdrawn", r.now().UTC(), caller.RequestID, oneLine(err.Error())})
			if merr == nil {
				merr = r.records.write(text)
			}
			err = errors.Join(err, merr)
		}
	}
	if err != nil {
		r.failed(err)
	}
	return err
}

// ready says whether the next decision can be written, as far as can be told
// without writing one.
func (r *recorder) ready() error {
	if r.records == nil {
		return nil
	}
	return r.records.check()
}

// withdrawn is the line that says that a decision that was recorded was told as
// undecided, unless it was a denial, because the signer's log did not take it.
type withdrawn struct {
	Kind      string    `json:"kind"` // "withdrawn"
	Time      time.Time `json:"time"`
	RequestID string    `json:"requestId"`
	Error     string    `json:"error"`
}

// log writes an entry into the signer's log, which commits to the record, for
// an answer that was not given before, or not for a day. An answer that comes
// back in between is in the records alone: what asks again and again must not
// fill the log.
func (r *recorder) log(ctx context.Context, c gateapi.Caller, w gate.Workload, v *gate.Verdict, line []byte) error {
	keys := make([][sha256.Size]byte, len(v.Images))
	for i := range v.Images {
		keys[i] = answerKey(w.Where, v, &v.Images[i])
	}
	now := r.now()
	if !r.news.any(keys, now) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limits.GateRecordTime)
	defer cancel()
	sum := sha256.Sum256(line)
	entry := audit.Entry{
		Kind: audit.Decision, Time: v.Time.UTC(), Principal: "gate:" + c.Principal, RequestID: c.RequestID, Action: "shuind:Decide",
		Outcome: v.Outcome.String(), Detail: decisionDetail(w.Where, v, hex.EncodeToString(sum[:])), Attempt: -1,
	}
	if err := r.store.Update(ctx, func(tx signing.Tx) error { _, err := tx.AppendEntry(entry); return err }); err != nil {
		return fmt.Errorf("the signer's log: %w", err)
	}
	r.news.told(keys, now)
	return nil
}

// answerKey names an answer about one image: the same, and nothing new is told.
func answerKey(at pipeline.Where, v *gate.Verdict, iv *gate.ImageVerdict) [sha256.Size]byte {
	code, exception := "", ""
	if iv.Err != nil {
		code = string(codeLabel(iv.Err))
	}
	if iv.Exception != nil {
		exception = iv.Exception.Reason
	}
	image := iv.Pinned
	if image == "" {
		image = iv.Image.Written
	}
	text, _ := json.Marshal([]string{image, at.Cluster, at.Namespace, v.Policy.String(), iv.TrustHash.String(), iv.Rule, iv.Outcome.String(), fmt.Sprint(iv.Allowed), code, exception}) // texts
	return sha256.Sum256(text)
}

// decisionDetail says what was decided about the first images; the record
// says it of all.
func decisionDetail(at pipeline.Where, v *gate.Verdict, record string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "record sha256:%s; policy %s; cluster %q, namespace %q; allowed: %t", record, v.Policy, at.Cluster, at.Namespace, v.Allowed)
	for i := range v.Images {
		if b.Len() > 4<<10 {
			fmt.Fprintf(&b, "; and %d more images", len(v.Images)-i)
			break
		}
		iv := &v.Images[i]
		image := iv.Pinned
		if image == "" {
			image = iv.Image.Written
		}
		fmt.Fprintf(&b, "; %s: %s", printable(image), iv.Outcome)
		if iv.Err != nil {
			fmt.Fprintf(&b, " (%s)", codeLabel(iv.Err))
		}
		if iv.Exception != nil {
			b.WriteString(" (exception)")
		}
	}
	return b.String()
}

// news remembers which answers were written to the log, and when. When it is
// full, any of them are forgotten, and written again. Safe for concurrent use.
type news struct {
	mu sync.Mutex
	at map[[sha256.Size]byte]time.Time
}

// any says whether one of the answers is new.
func (n *news) any(keys [][sha256.Size]byte, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range keys {
		at, known := n.at[k]
		if age := now.Sub(at); !known || age < 0 || age >= limits.GateLoggedAgain {
			return true
		}
	}
	return false
}

func (n *news) told(keys [][sha256.Size]byte, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at == nil {
		n.at = map[[sha256.Size]byte]time.Time{}
	}
	for _, k := range keys {
		if len(n.at) >= limits.GateLogged {
			for old := range n.at { // any one
				delete(n.at, old)
				break
			}
		}
		n.at[k] = now
	}
}
