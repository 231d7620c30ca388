package cli

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/store"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/wording"
)

// errNoSuchBackup says that a place has no backup of the ID that was given.
var errNoSuchBackup = errors.New("no backup")

// opened is one backup and where it came from.
type opened struct {
	*archive.Backup
	source store.Source
	close  func() error
}

func (o *opened) Close() error {
	err := o.Backup.Close()
	if cerr := o.close(); err == nil {
		err = cerr
	}
	return err
}

// openSource opens what holds backups: an ISO, a directory, a file:// URL.
func openSource(where string) (store.Source, func() error, error) {
	p, err := localPath(where)
	if err != nil {
		return nil, nil, err
	}
	fi, err := os.Stat(p)
	if err != nil {
		return nil, nil, fail.Hint(fail.New(fail.Failed, "cannot open the backup: %w", err), "give an ISO, a directory or a file:// URL")
	}
	if fi.IsDir() {
		s, err := dir.Open(p)
		return s, func() error { return nil }, err
	}
	m, err := medium.Open(p)
	if err != nil {
		if fail.KindOf(err) == fail.Damaged && fail.HintOf(err) == "" {
			err = fail.Hint(err, "give an ISO or a device that mkcdrec wrote, or a directory of backups; of an ISO, was all of it copied?")
		}
		return nil, nil, err
	}
	return m, m.Close, nil
}

// localPath is the path behind a file:// URL or a plain path.
func localPath(where string) (string, error) {
	if rest, ok := strings.CutPrefix(where, "file://"); ok {
		if !strings.HasPrefix(rest, "/") {
			return "", fail.Hint(fail.New(fail.Usage, "%s is not a file:// URL of a local path", where), "write three slashes: file:///mnt/backups")
		}
		return filepath.Clean(rest), nil
	}
	if i := strings.Index(where, "://"); i > 0 {
		return "", fail.Hint(fail.New(fail.Usage, "cannot use %s:// as a store", where[:i]), "a directory or a mounted share: file:///mnt/backups")
	}
	return filepath.Abs(where)
}

// openBackup opens the backup with the given ID at a place, or the only one,
// or with newest set the newest one there.
func openBackup(ctx context.Context, where, id string, newest bool) (*opened, error) {
	src, closeSrc, err := openSource(where)
	if err != nil {
		return nil, err
	}
	prefix, err := choose(ctx, src, id, newest)
	if err == nil {
		var b *archive.Backup
		if b, err = archive.Open(ctx, src, prefix); err == nil {
			return &opened{Backup: b, source: src, close: closeSrc}, nil
		}
	}
	closeSrc()
	return nil, err
}

func choose(ctx context.Context, src store.Source, id string, newest bool) (string, error) {
	found, err := archive.List(ctx, src)
	if err != nil {
		return "", err
	}
	if id != "" {
		var kept []archive.Found
		for _, f := range found {
			if f.Manifest.ID == id || path.Base(f.Prefix) == id {
				kept = append(kept, f)
			}
		}
		found = kept
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Manifest.ID < found[j].Manifest.ID })
	switch {
	case len(found) == 0 && id != "":
		return "", fail.Hint(fail.New(fail.Failed, "%w %s in %s", errNoSuchBackup, id, src), "see what is there: mkcdrec list")
	case len(found) == 0:
		return "", fail.Hint(fail.New(fail.Damaged, "no complete backup in %s", src), "a backup without manifest.json was not finished; a medium made by `mkcdrec rescue` holds none")
	case len(found) > 1 && !newest:
		var ids []string
		for _, f := range found {
			ids = append(ids, f.Manifest.ID)
		}
		return "", fail.Hint(fail.New(fail.Usage, "%s in %s", wording.Count(len(found), "backup"), src), "choose one by --id: %s", strings.Join(ids, ", "))
	}
	return found[len(found)-1].Prefix, nil
}
