package main

import (
	"context"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/signing"
)

// watchedStore is a signing.Store that tells what was committed. It changes
// nothing: what it tells is for metrics.
type watchedStore struct {
	signing.Store
	committed func(changes)
	failed    func(error)
}

// changes are those of one transaction.
type changes struct {
	jobs    []signing.Kind
	entries int64 // size of the log, 0: not changed
}

// Update runs f and tells what it changed once that is durable.
func (w *watchedStore) Update(ctx context.Context, f func(signing.Tx) error) error {
	var c changes
	refused := false
	err := w.Store.Update(ctx, func(tx signing.Tx) error {
		c = changes{} // f may be run again
		err := f(&watchedTx{Tx: tx, c: &c})
		refused = err != nil
		return err
	})
	switch {
	case err == nil:
		w.committed(c)
	case !refused && ctx.Err() == nil:
		w.failed(err) // not f's own refusal
	}
	return err
}

// View runs f on one state.
func (w *watchedStore) View(ctx context.Context, f func(signing.Tx) error) error {
	refused := false
	err := w.Store.View(ctx, func(tx signing.Tx) error {
		err := f(tx)
		refused = err != nil
		return err
	})
	if err != nil && !refused && ctx.Err() == nil {
		w.failed(err)
	}
	return err
}

type watchedTx struct {
	signing.Tx
	c *changes
}

func (t *watchedTx) AppendEntry(e audit.Entry) (int64, error) {
	index, err := t.Tx.AppendEntry(e)
	if err == nil {
		t.c.entries = max(t.c.entries, index+1)
	}
	return index, err
}

func (t *watchedTx) AddJob(j signing.Job) error {
	err := t.Tx.AddJob(j)
	if err == nil {
		t.c.jobs = append(t.c.jobs, j.Kind)
	}
	return err
}
