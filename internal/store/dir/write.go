package dir

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Create starts a file under a temporary name in its directory. The
// directories between the store's own and the file are made where missing.
func (d *Dir) Create(ctx context.Context, name string) (store.WriteFile, error) {
	if err := errors.Join(ctx.Err(), check(name)); err != nil {
		return nil, err
	}
	if err := d.present(); err != nil {
		return nil, err
	}
	if _, err := d.root.Lstat(name); err == nil {
		return nil, fmt.Errorf("cannot create %s in %s: %w", name, d, fs.ErrExist)
	}
	parent := path.Dir(name)
	if err := d.root.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create %s in %s: %w", parent, d, classify(err))
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	temp := path.Join(parent, tempPrefix+hex.EncodeToString(random[:]))
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot create %s in %s: %w", name, d, classify(err))
	}
	return &writeFile{d: d, f: f, temp: temp, name: name}, nil
}

type writeFile struct {
	d          *Dir
	f          *os.File
	temp, name string
	ended      bool
}

func (w *writeFile) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	return n, classify(err)
}

// Commit makes the file durable, then visible.
func (w *writeFile) Commit() error {
	if w.ended {
		return errors.New("file was committed or given up before")
	}
	w.ended = true
	err := w.f.Sync()
	err = errors.Join(err, w.f.Close())
	if err == nil {
		err = w.d.present()
	}
	if err == nil {
		// Not Rename: a file that has appeared meanwhile is not replaced.
		err = w.link()
	}
	if err == nil {
		err = w.d.sync(path.Dir(w.name))
	}
	if err != nil {
		_ = w.d.root.Remove(w.temp)
		return fmt.Errorf("cannot finish %s in %s: %w", w.name, w.d, classify(err))
	}
	return nil
}

// link gives the file its name. Where the file system has no hard links
// (vfat), it is renamed after a look whether the name is free.
func (w *writeFile) link() error {
	err := w.d.root.Link(w.temp, w.name)
	if err == nil {
		return w.d.root.Remove(w.temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := w.d.root.Lstat(w.name); err == nil {
		return fs.ErrExist
	}
	return w.d.root.Rename(w.temp, w.name)
}

// Abort removes what was written.
func (w *writeFile) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	_ = w.f.Close()
	if err := w.d.root.Remove(w.temp); err != nil {
		return fmt.Errorf("cannot remove the unfinished %s in %s: %w", w.name, w.d, classify(err))
	}
	return nil
}

// sync makes the names in a directory durable.
func (d *Dir) sync(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
