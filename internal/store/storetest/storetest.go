// Package storetest is the contract that each kind of store passes.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Run runs the contract's tests, each on a store that open makes anew.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"write and read", writeAndRead},
		{"visible by commit only", visibleByCommit},
		{"abort leaves nothing", abortLeavesNothing},
		{"no silent replacement", noReplacement},
		{"list by prefix, sorted", list},
		{"missing files", missing},
		{"remove", remove},
		{"names that lead out", badNames},
		{"reads at once", parallelReads},
		{"cancelled", cancelled},
		{"free space and name", free},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Put writes a whole file.
func Put(t *testing.T, s store.Sink, name string, content []byte) {
	t.Helper()
	w, err := s.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// Get reads a whole file.
func Get(t *testing.T, s store.Source, name string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, r.Size())
	if n, err := r.ReadAt(b, 0); n != len(b) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("ReadAt = %d, %v; file has %d bytes", n, err, len(b))
	}
	return b
}

func names(t *testing.T, s store.Source, prefix string) string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var out string
	for _, i := range infos {
		out += fmt.Sprintf("%s=%d ", i.Name, i.Size)
	}
	return out
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func writeAndRead(t *testing.T, s store.Store) {
	for _, n := range []int{0, 1, 4096, 1<<20 + 7} {
		name := fmt.Sprintf("host/id/file-%d", n)
		want := random(n)
		w, err := s.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for rest := want; len(rest) > 0; {
			k := min(len(rest), 300_001)
			if m, err := w.Write(rest[:k]); m != k || err != nil {
				t.Fatalf("Write = %d, %v", m, err)
			}
			rest = rest[k:]
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := Get(t, s, name); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read back differently", n)
		}
	}
	r, err := s.Open(t.Context(), "host/id/file-4096")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, 100)
	if n, err := r.ReadAt(b, 4090); n != 6 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end = %d, %v; want 6 and EOF", n, err)
	}
	if n, err := r.ReadAt(b, 5000); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt behind the end = %d, %v; want 0 and EOF", n, err)
	}
}

func visibleByCommit(t *testing.T, s store.Store) {
	w, err := s.Create(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, ""); got != "" {
		t.Errorf("visible before Commit: %s", got)
	}
	if _, err := s.Open(t.Context(), "a/b"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Open before Commit: %v", err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, ""); got != "a/b=4 " {
		t.Errorf("after Commit: %s", got)
	}
}

func abortLeavesNothing(t *testing.T, s store.Store) {
	w, err := s.Create(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, ""); got != "" {
		t.Errorf("after Abort: %s", got)
	}
	Put(t, s, "a/b", []byte("whole"))
}

func noReplacement(t *testing.T, s store.Store) {
	Put(t, s, "a", []byte("old"))
	w, err := s.Create(t.Context(), "a")
	if err == nil {
		_, _ = w.Write([]byte("new"))
		err = w.Commit()
	}
	if err == nil {
		t.Error("an existing file was replaced")
	}
	if got := Get(t, s, "a"); string(got) != "old" {
		t.Errorf("content is %q", got)
	}
}

func list(t *testing.T, s store.Store) {
	for _, n := range []string{"web2/x/m", "web1/x/m", "web1/x/data.0002", "web1/x/data.0001", "web10/y/m", "top"} {
		Put(t, s, n, []byte(n))
	}
	for _, c := range []struct{ prefix, want string }{
		{"", "top=3 web1/x/data.0001=16 web1/x/data.0002=16 web1/x/m=8 web10/y/m=9 web2/x/m=8 "},
		{"web1/", "web1/x/data.0001=16 web1/x/data.0002=16 web1/x/m=8 "},
		{"web1", "web1/x/data.0001=16 web1/x/data.0002=16 web1/x/m=8 web10/y/m=9 "},
		{"web1/x/da", "web1/x/data.0001=16 web1/x/data.0002=16 "},
		{"nothing/here", ""},
	} {
		if got := names(t, s, c.prefix); got != c.want {
			t.Errorf("List(%q) = %s, want %s", c.prefix, got, c.want)
		}
	}
}

func missing(t *testing.T, s store.Store) {
	if _, err := s.Open(t.Context(), "no/such"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
	if err := s.Remove(t.Context(), "no/such"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("Remove: %v", err)
	}
}

func remove(t *testing.T, s store.Store) {
	Put(t, s, "a/b", []byte("1"))
	Put(t, s, "a/c", []byte("2"))
	if err := s.Remove(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, ""); got != "a/c=1 " {
		t.Errorf("left: %s", got)
	}
	if err := s.Remove(t.Context(), "a"); err == nil {
		t.Error("a directory was removed")
	}
	if got := names(t, s, ""); got != "a/c=1 " {
		t.Errorf("left: %s", got)
	}
}

func badNames(t *testing.T, s store.Store) {
	for _, n := range []string{"", ".", "..", "../x", "a/../../x", "a/../b", "/etc/x", "a//b", "a/./b", "a/", "a\x00b"} {
		if w, err := s.Create(t.Context(), n); err == nil {
			_ = w.Abort()
			t.Errorf("Create(%q) was accepted", n)
		}
		if _, err := s.Open(t.Context(), n); err == nil {
			t.Errorf("Open(%q) was accepted", n)
		}
		if err := s.Remove(t.Context(), n); err == nil {
			t.Errorf("Remove(%q) was accepted", n)
		}
	}
}

func parallelReads(t *testing.T, s store.Store) {
	want := random(1 << 20)
	Put(t, s, "f", want)
	r, err := s.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			b := make([]byte, 1000)
			for i := range 100 {
				off := (g*131_071 + i*7919) % (len(want) - len(b))
				if n, err := r.ReadAt(b, int64(off)); n != len(b) || !bytes.Equal(b, want[off:off+n]) {
					t.Errorf("ReadAt(%d) = %d, %v", off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func cancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w, err := s.Create(ctx, "a"); err == nil {
		_ = w.Abort()
		t.Error("Create went on after it was cancelled")
	} else if errors.Is(err, store.ErrNotExist) {
		t.Errorf("Create: %v", err)
	}
}

func free(t *testing.T, s store.Store) {
	n, err := s.Free(t.Context())
	if err != nil || n < -1 {
		t.Errorf("Free = %d, %v", n, err)
	}
	if s.String() == "" {
		t.Error("the store has no name for people")
	}
}
