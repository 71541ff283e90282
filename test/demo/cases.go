package main

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"text/tabwriter"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
)

// Exit statuses of `shuin verify` and `shuin check`.
const (
	statusVerified    = 0
	statusNotVerified = 1
	statusUndecided   = 2
)

// row is one line of a table at the end.
type row struct {
	name               string
	want, got          string
	wantStatus, status int
}

func (r row) ok() bool { return r.want == r.got && r.wantStatus == r.status }

// verify runs `shuin verify` and notes reason and status beside the expected
// ones. The reason is that of the Report (`--output json`).
func (d *demo) verify(ctx context.Context, name string, want shuin.Code, wantStatus int, args ...string) error {
	args = append([]string{"verify"}, args...)
	r, err := d.shell.run(ctx, args...)
	if err != nil {
		return err
	}
	code, err := d.shell.reasonOf(ctx, args...)
	if err != nil {
		return err
	}
	d.rows = append(d.rows, row{name: name, want: show(want), got: show(code), wantStatus: wantStatus, status: r.status})
	return nil
}

// goodDay is what everybody does every day.
func (d *demo) goodDay(ctx context.Context) error {
	d.title("Sign by tag: shuin pins the tag to its digest and signs that")
	for _, args := range [][]string{
		{"sign", d.ref(repoGood, "v1")},
		{"sign", "--signature-format", "cose", d.ref(repoGood, "v1-multi")},
		{"list", d.ref(repoGood, "v1")},
		{"inspect", d.ref(repoGood, "v1")},
	} {
		if err := d.shell.must(ctx, args...); err != nil {
			return err
		}
	}
	d.title("Verify")
	if err := d.verify(ctx, "signed image, by tag", "", statusVerified, d.ref(repoGood, "v1")); err != nil {
		return err
	}
	if err := d.verify(ctx, "signed image, by digest", "", statusVerified, d.pinned(repoGood)); err != nil {
		return err
	}
	return d.verify(ctx, "signed two-platform index (COSE)", "", statusVerified, d.ref(repoGood, "v1-multi"))
}

// badDay is one way to fail.
type badDay struct {
	name, title string
	want        shuin.Code
	status      int
	// prepare makes the situation; nil: it is there already.
	prepare func(ctx context.Context) error
	// args are those of verify.
	args []string
}

// badDays shows each failure with its own reason.
func (d *demo) badDays(ctx context.Context) error {
	for _, b := range d.failures() {
		d.title("%s", b.title)
		if b.prepare != nil {
			if err := b.prepare(ctx); err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
		}
		if err := d.verify(ctx, b.name, b.want, b.status, b.args...); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
}

func (d *demo) failures() []badDay {
	return []badDay{
		{"unsigned image", "An image that nobody signed", shuin.CodeUnsigned, statusNotVerified,
			func(ctx context.Context) error { return d.client.push(ctx, repoUnsigned, "v1", d.image) },
			[]string{d.pinned(repoUnsigned)}},
		{"signed by an untrusted key", "An image signed with a key of a CA that the policy does not trust", shuin.CodeUntrusted, statusNotVerified,
			func(ctx context.Context) error { return d.pushAndSign(ctx, repoUntrusted, "--key", keyStranger) },
			[]string{d.pinned(repoUntrusted)}},
		{"no applicable trust policy", "A well signed image in a repository that no policy statement names", shuin.CodeNoPolicy, statusNotVerified,
			func(ctx context.Context) error { return d.pushAndSign(ctx, repoNoPolicy) },
			[]string{d.pinned(repoNoPolicy)}},
		{"expired signature", "A signature that was good for one second", shuin.CodeExpired, statusNotVerified,
			func(ctx context.Context) error {
				if err := d.pushAndSign(ctx, repoExpired, "--expiry", "1s"); err != nil {
					return err
				}
				return wait(ctx, 2*time.Second)
			},
			[]string{d.pinned(repoExpired)}},
		{"revoked certificate", "A certificate that its CA revoked after signing (revocation list on loopback)", shuin.CodeRevoked, statusNotVerified,
			d.revoke, []string{"--allow-private-revocation-addresses", d.pinned(repoRevoked)}},
		{"tampered envelope", "A signature whose payload was changed afterwards", shuin.CodeTampered, statusNotVerified,
			func(ctx context.Context) error {
				if err := d.pushAndSign(ctx, repoTampered); err != nil {
					return err
				}
				return d.client.replaceSignature(ctx, repoTampered, d.image.Digest, shuintest.TamperPayload)
			},
			[]string{d.pinned(repoTampered)}},
		{"tag moved after signing", "A tag that was moved to another image between signing and verifying", shuin.CodeTagMoved, statusNotVerified,
			d.moveTag, []string{d.ref(repoMoved, "v1") + "@" + d.image.Digest.String()}},
		{"what the tag names now", "By the tag alone, the other image is judged: nobody signed it", shuin.CodeUnsigned, statusNotVerified,
			nil, []string{d.ref(repoMoved, "v1")}},
		{"the digest signed before the move", "What was signed under that tag is still good, by its digest", "", statusVerified,
			nil, []string{d.pinned(repoMoved)}},
		{"registry answers 401", "A registry that asks who we are: nothing was checked, which is not the same as bad", shuin.CodeUnauthorized, statusUndecided,
			nil, []string{d.closed + "/" + repoClosed + ":v1"}},
	}
}

// pushAndSign pushes the image as repo:v1 and signs it.
func (d *demo) pushAndSign(ctx context.Context, repo string, flags ...string) error {
	if err := d.client.push(ctx, repo, "v1", d.image); err != nil {
		return err
	}
	return d.shell.must(ctx, append(append([]string{"sign"}, flags...), d.pinned(repo))...)
}

// revoke signs, and revokes the certificate.
func (d *demo) revoke(ctx context.Context) error {
	if err := d.pushAndSign(ctx, repoRevoked, "--key", keyLost); err != nil {
		return err
	}
	serial := new(big.Int).Set(d.revocable.Leaf().SerialNumber)
	d.revocable.CRL[0].Revoke(serial, time.Now(), shuintest.KeyCompromise, time.Time{})
	fmt.Fprintf(d.out, "  certificate %s revoked: key compromise\n", serial)
	return nil
}

// moveTag signs v1 and then pushes something else as v1.
func (d *demo) moveTag(ctx context.Context) error {
	if err := d.client.push(ctx, repoMoved, "v1", d.image); err != nil {
		return err
	}
	if err := d.shell.must(ctx, "sign", d.ref(repoMoved, "v1")); err != nil {
		return err
	}
	other, err := packProgram(d.shell.program, "somebody else's build")
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  %s: %s -> %s\n", d.ref(repoMoved, "v1"), d.image.Digest, other.Digest)
	return d.client.push(ctx, repoMoved, "v1", other)
}

func wait(ctx context.Context, t time.Duration) error {
	select {
	case <-time.After(t):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// printTable prints a summary and reports whether all is as expected.
func printTable(out io.Writer, title string, rows []row) bool {
	fmt.Fprintf(out, "\n== %s\n\n", title)
	tw := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "CASE\tEXPECTED\tGOT\tEXIT STATUS\t")
	all := true
	for _, r := range rows {
		mark := ""
		if !r.ok() {
			mark, all = fmt.Sprintf("<- expected %s, status %d", r.want, r.wantStatus), false
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%s\n", r.name, r.want, r.got, r.status, mark)
	}
	if tw.Flush() != nil {
		return false
	}
	return all
}

func show(c shuin.Code) string {
	if c == "" {
		return "verified"
	}
	return string(c)
}
