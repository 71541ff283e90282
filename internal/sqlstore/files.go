package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/pressly/goose/v3"
)

// prepareFile makes an empty database file if there is none, readable to its
// owner alone; SQLite gives its other files the same mode. A file that is
// there is never opened here: closing it would drop SQLite's locks on it that
// this process may have.
func prepareFile(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("its directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	posix := runtime.GOOS != "windows"
	if posix && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("everybody can write to its directory %s, and so replace it: chmod o-w %s", dir, dir)
	}
	info, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createFile(path)
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", path)
	}
	if posix && info.Mode().Perm()&0o077 != 0 {
		for _, p := range []string{path, path + "-wal", path + "-shm"} {
			if err := os.Chmod(p, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was first
	}
	if err != nil {
		return err
	}
	err = f.Chmod(0o600) // whatever the umask
	if runtime.GOOS == "windows" {
		err = nil
	}
	return errors.Join(err, f.Close(), syncDir(filepath.Dir(path)))
}

// syncDir makes a new file's name durable, where a directory can be synced.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// The schemas: of the signer, and of findings.
//
//go:embed migrations/*.sql findings/*.sql
var migrations embed.FS

const (
	schemaSigner   = "migrations"
	schemaFindings = "findings"
)

// migrate brings a schema up to date. Of two processes that do so at the
// same time one finds the other's work done.
func migrate(ctx context.Context, connector driver.Connector, schema string) error {
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	defer db.Close()
	sub, err := fs.Sub(migrations, schema)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub,
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	for _, q := range []string{"PRAGMA busy_timeout=10000", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		if err = up(ctx, p); err == nil || errors.Is(err, ErrNewer) || ctx.Err() != nil || try == 5 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func up(ctx context.Context, p *goose.Provider) error {
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: its schema is version %d, this program knows %d: use the newer program, or restore a backup made before it",
			ErrNewer, current, target)
	}
	if current == target {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", current, target, err)
	}
	return nil
}
