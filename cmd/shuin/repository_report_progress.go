package main

import (
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// reportProgress is the bar on stderr; a nil one shows nothing. more and one
// are safe for concurrent use. Until its end, what is written to stderr stands
// above the bar.
type reportProgress struct {
	app   *app
	below io.Writer // stderr
	bars  *mpb.Progress
	mu    sync.Mutex
	bar   *mpb.Bar
	total int64
}

// newProgress is nil unless a person looks at stderr.
func (a *app) newProgress(o *repositoryReportOptions) *reportProgress {
	f, ok := a.stderr.(interface{ Fd() uintptr })
	if !ok || o.noProgress || o.debug || a.getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return a.startProgress()
}

func (a *app) startProgress() *reportProgress {
	p := &reportProgress{app: a, below: a.stderr}
	p.bars = mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithAutoRefresh())
	a.stderr = p.bars
	return p
}

// begin starts the bar of a repository.
func (p *reportProgress) begin(name string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	p.total = 0
	p.bar = p.bars.AddBar(0,
		mpb.PrependDecorators(decor.Name(visible(name)+" ")),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d"), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_MMSS)))
}

// more announces n steps.
func (p *reportProgress) more(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += int64(n)
	p.bar.SetTotal(p.total, false)
}

// one is a step done.
func (p *reportProgress) one() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.Increment()
}

// finish completes the bar.
func (p *reportProgress) finish() {
	if p.bar != nil {
		p.bar.SetTotal(-1, true)
		p.bar = nil
	}
}

// end waits until everything is drawn.
func (p *reportProgress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.finish()
	p.mu.Unlock()
	p.bars.Wait()
	p.app.stderr = p.below
}
