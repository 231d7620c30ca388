package backup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
)

// options back up root into the directory to, without hooks.
func options(t testing.TB, root, to, id string) backup.Options {
	t.Helper()
	d, err := dir.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return backup.Options{
		Root: root, Sink: d, ID: id, Lock: filepath.Join(t.TempDir(), "lock"),
		Writer: archive.WriterOptions{Prefix: "host", Host: "host", FrameSize: 64 << 10},
	}
}

// whole says that a backup in a directory can be opened and verifies.
func whole(t testing.TB, to, id string) *archive.Backup {
	t.Helper()
	ctx := context.Background()
	d, err := dir.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	b, err := archive.Open(ctx, d, "host/"+id)
	if err != nil {
		t.Fatalf("backup %s: %v", id, err)
	}
	t.Cleanup(func() { b.Close() })
	if r, err := b.Verify(ctx, nil); err != nil || r.Paths == 0 {
		t.Fatalf("backup %s: %v", id, err)
	}
	return b
}

// noise writes n files of a size that do not compress.
func noise(t testing.TB, root string, n, size int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		b := make([]byte, size)
		for k := range b {
			b[k] = byte(r.Uint32())
		}
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("file%04d", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupComesBackThroughTheArchive(t *testing.T) {
	from, to := testtree.Mount(t, "300M", "mkfs.ext4", "-q"), testtree.Mount(t, "300M", "mkfs.ext4", "-q")
	if not := testtree.Everything(t, from+"/src"); not != "" {
		t.Log(not)
	}
	t.Cleanup(func() { testtree.Unlock(to) })
	store := t.TempDir()
	res, err := backup.Run(context.Background(), options(t, from, store, "one"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Manifest.Warnings) > 0 || res.Prefix != "host/one" {
		t.Errorf("%s: warnings %v", res.Prefix, res.Manifest.Warnings)
	}
	b := whole(t, store, "one")
	want := testtree.Describe(t, from)
	r, err := unpack.Run(context.Background(), b.Entries(context.Background(), archive.ReadOptions{}), to, unpack.Options{})
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("%v, problems %v", err, r.Problems)
	}
	if d := testtree.Diff(want, testtree.Describe(t, to)); d != "" {
		t.Errorf("differs:\n%s", d)
	}
}

func TestSecondRunIsRefused(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	noise(t, root, 3, 10)
	opt := options(t, root, store, "one")
	other := options(t, root, store, "two")
	other.Lock = opt.Lock
	var second error
	opt.OnProgress = func(backup.Progress) { _, second = backup.Run(context.Background(), other) }
	if _, err := backup.Run(context.Background(), opt); err != nil {
		t.Fatal(err)
	}
	if fail.KindOf(second) != fail.Refused || !strings.Contains(second.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("got %v", second)
	}
	whole(t, store, "one")
	if _, err := os.Stat(store + "/host/two"); err == nil {
		t.Error("the refused run wrote")
	}
	// The lock is free again.
	if _, err := backup.Run(context.Background(), other); err != nil {
		t.Error(err)
	}
}

// hooksIn writes hooks that log their names, and fail where asked to.
func hooksIn(t testing.TB, failing string) (dir, log string) {
	t.Helper()
	dir = t.TempDir()
	log = filepath.Join(dir, "log")
	for _, h := range []string{"pre-backup.d/10-a", "pre-backup.d/20-b", "pre-backup.d/9-first-by-bytes-last", "post-backup", "post-backup.d/50-z"} {
		code := 0
		if h == failing {
			code = 7
		}
		p := filepath.Join(dir, h)
		_ = os.MkdirAll(filepath.Dir(p), 0o755)
		script := fmt.Sprintf("#!/bin/sh\necho %s $MKCDREC_BACKUP_ID >>%s\nexit %d\n", h, log, code)
		if err := os.WriteFile(p, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.WriteFile(filepath.Join(dir, "pre-backup.d/15-not-executable"), []byte("#!/bin/sh\necho no >>"+log+"\n"), 0o644)
	return dir, log
}

func TestHooks(t *testing.T) {
	const pre, post = "pre-backup.d/10-a one\npre-backup.d/20-b one\npre-backup.d/9-first-by-bytes-last one\n", "post-backup one\npost-backup.d/50-z one\n"
	for _, tt := range []struct {
		name, failing string
		cancel        bool
		log           string
		made          bool
		err           string
		postErr       bool
	}{
		{name: "in order", log: pre + post, made: true},
		{name: "a failing pre hook ends it", failing: "pre-backup.d/10-a", log: "pre-backup.d/10-a one\n" + post, err: "pre-backup.d/10-a"},
		{name: "a failing post hook is told beside the backup", failing: "post-backup", log: pre + post, made: true, postErr: true},
		{name: "post hooks run after a cancel", cancel: true, log: pre + post, err: "interrupted"},
		{name: "both fail", cancel: true, failing: "post-backup.d/50-z", log: pre + post, err: "50-z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, store := t.TempDir(), t.TempDir()
			noise(t, root, 3, 10)
			hooks, log := hooksIn(t, tt.failing)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			opt := options(t, root, store, "one")
			opt.Hooks, opt.Runner = hooks, &system.Host{}
			opt.OnProgress = func(backup.Progress) {
				if tt.cancel {
					cancel()
				}
			}
			res, err := backup.Run(ctx, opt)
			if got, _ := os.ReadFile(log); string(got) != tt.log {
				t.Errorf("hooks that ran:\n%swant:\n%s", got, tt.log)
			}
			if (err == nil) != tt.made || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v", err)
			}
			if (res.PostHook != nil) != tt.postErr {
				t.Errorf("post hook: %v", res.PostHook)
			}
			if tt.made {
				whole(t, store, "one")
			} else {
				leftNothing(t, store, "one")
			}
		})
	}
}

// leftNothing says that a backup that was not made left no file.
func leftNothing(t testing.TB, store, id string) {
	t.Helper()
	var left []string
	_ = filepath.WalkDir(filepath.Join(store, "host", id), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, p)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestBackupThatEndsEarlyLeavesTheOlderOne(t *testing.T) {
	root := t.TempDir()
	noise(t, root, 200, 40<<10)
	for _, tt := range []struct {
		name  string
		mount bool // the destination is a tmpfs, big enough for the older backup alone
		act   func(t *testing.T, cancel func(), store string)
		kind  fail.Kind
		text  string
		gone  bool // the store is not there any more
	}{
		{name: "cancelled", kind: fail.Interrupted, text: "interrupted", act: func(_ *testing.T, cancel func(), _ string) { cancel() }},
		{name: "no space", mount: true, kind: fail.Failed, text: "no space left"},
		{name: "unmounted", mount: true, kind: fail.Failed, gone: true, act: func(t *testing.T, _ func(), store string) {
			if out, err := exec.Command("umount", "-l", store).CombinedOutput(); err != nil {
				t.Errorf("umount: %v %s", err, out)
			}
		}},
		{name: "removed", kind: fail.Failed, gone: true, act: func(t *testing.T, _ func(), store string) {
			if err := os.RemoveAll(store); err != nil {
				t.Error(err)
			}
		}},
		{name: "another directory in its place", kind: fail.Failed, act: func(t *testing.T, _ func(), store string) {
			if err := errors.Join(os.Rename(store, store+".away"), os.Mkdir(store, 0o755)); err != nil {
				t.Error(err)
			}
		}, gone: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := filepath.Join(t.TempDir(), "store")
			if err := os.Mkdir(store, 0o755); err != nil {
				t.Fatal(err)
			}
			if tt.mount {
				testtree.NeedRoot(t)
				size := "size=4m"
				if tt.gone {
					size = "size=40m"
				}
				if out, err := exec.Command("mount", "-t", "tmpfs", "-o", size, "tmpfs", store).CombinedOutput(); err != nil {
					t.Skipf("cannot mount a tmpfs: %v: %s", err, out)
				}
				t.Cleanup(func() { _ = exec.Command("umount", "-l", store).Run() })
			}
			older := options(t, root, store, "older")
			older.Only = []string{"/file0000", "/file0001"}
			if _, err := backup.Run(context.Background(), older); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			opt := options(t, root, store, "one")
			opt.OnProgress = func(p backup.Progress) {
				if p.Paths == 100 && tt.act != nil {
					tt.act(t, cancel, store)
				}
			}
			res, err := backup.Run(ctx, opt)
			if err == nil || fail.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.text) || res.Manifest != nil {
				t.Errorf("got %v, manifest %v", err, res.Manifest)
			}
			t.Logf("%v; hint: %s", err, fail.HintOf(err))
			leftNothing(t, store, "one")
			if !tt.gone {
				whole(t, store, "older")
			}
		})
	}
}

const killedEnv = "MKCDREC_TEST_KILLED"

// TestMain lets the test binary be the program that is killed.
func TestMain(m *testing.M) {
	if v := os.Getenv(killedEnv); v != "" {
		root, to, _ := strings.Cut(v, ":")
		to, id, _ := strings.Cut(to, ":")
		d, err := dir.Open(to)
		if err == nil {
			_, err = backup.Run(context.Background(), backup.Options{
				Root: root, Sink: d, ID: id, Lock: to + ".lock", Machine: &machine.Machine{MachineID: machineID},
				Writer: archive.WriterOptions{Prefix: "host", Host: "host", FrameSize: 64 << 10},
				OnProgress: func(p backup.Progress) {
					if p.Paths == 100 {
						fmt.Println("half")
						select {} // for the killer
					}
				},
			})
		}
		fmt.Println(err)
		os.Exit(1)
	}
	testtree.OwnMounts(m)
}

func TestKilledBackupLeavesTheOlderOne(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	noise(t, root, 200, 40<<10)
	if _, err := backup.Run(context.Background(), options(t, root, store, "older")); err != nil {
		t.Fatal(err)
	}
	killed(t, root, store, "killed")
	if _, err := os.Stat(store + "/host/killed/manifest.json"); err == nil {
		t.Error("there is a manifest")
	}
	whole(t, store, "older")
	d, err := dir.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	found, err := archive.List(context.Background(), d)
	if err != nil || len(found) != 1 {
		t.Errorf("listed: %v, %v", found, err)
	}
	// The dead one's lock does not keep the next one out.
	opt := options(t, root, store, "next")
	opt.Lock = store + ".lock"
	t.Cleanup(func() { os.Remove(opt.Lock) })
	if _, err := backup.Run(context.Background(), opt); err != nil {
		t.Error(err)
	}
	whole(t, store, "next")
}

// names lists the paths of a backup.
func names(t testing.TB, b *archive.Backup) []string {
	t.Helper()
	var list []string
	for e, err := range b.Catalogue(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Name)
	}
	slices.Sort(list)
	return list
}

func TestOnlyAndExclude(t *testing.T) {
	root := t.TempDir()
	testtree.Shell(t, `cd "$1"; mkdir -p etc/nginx/sites var/cache/apt home/u/node_modules/x 'odd*name'; for f in etc/passwd etc/nginx/nginx.conf etc/nginx/sites/a \
var/cache/apt/x.tmp var/keep var/log.tmp home/u/node_modules/x/f home/u/keep 'odd*name/f' oddXname; do echo >"$f"; done`, root)
	for _, tt := range []struct {
		name                string
		only, exclude, want []string
		warned              int64
	}{
		{name: "one path with its parents", only: []string{"/etc/nginx"}, want: []string{".", "etc", "etc/nginx", "etc/nginx/nginx.conf", "etc/nginx/sites", "etc/nginx/sites/a"}},
		{name: "one file", only: []string{"/etc/passwd"}, want: []string{".", "etc", "etc/passwd"}},
		{name: "missing is a warning", only: []string{"/etc/passwd", "/nowhere"}, want: []string{".", "etc", "etc/passwd"}, warned: 1},
		{name: "both", only: []string{"/etc"}, exclude: []string{"/etc/nginx/*", "*.tmp"}, want: []string{".", "etc", "etc/nginx", "etc/passwd"}},
		{name: "exclude anywhere", exclude: []string{"node_modules", "*.tmp", "/etc", "/odd*"}, want: []string{".", "home", "home/u", "home/u/keep", "var", "var/cache", "var/cache/apt", "var/keep"}},
		{name: "exclude deep", only: []string{"/var"}, exclude: []string{"/var/**/*.tmp"}, want: []string{".", "var", "var/cache", "var/cache/apt", "var/keep"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := t.TempDir()
			opt := options(t, root, store, "one")
			opt.Only, opt.Exclude = tt.only, tt.exclude
			res, err := backup.Run(context.Background(), opt)
			if err != nil {
				t.Fatal(err)
			}
			b := whole(t, store, "one")
			if got := names(t, b); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if m := b.Manifest; !slices.Equal(m.Only, tt.only) || !slices.Equal(m.Exclude, tt.exclude) || m.Partial() != (tt.only != nil) {
				t.Errorf("the manifest says only %q, exclude %q", m.Only, m.Exclude)
			}
			if res.Manifest.Warned != tt.warned {
				t.Errorf("warnings %v", res.Manifest.Warnings)
			}
		})
	}
	opt := options(t, root, t.TempDir(), "one")
	opt.Exclude = []string{"/"}
	if _, err := backup.Run(context.Background(), opt); fail.KindOf(err) != fail.Usage {
		t.Errorf("excluding everything: %v", err)
	}
}

// What lies on the file systems is no measure for a few paths of them.
func TestTotalIsThatOfTheWholeMachine(t *testing.T) {
	root := t.TempDir()
	testtree.Shell(t, `cd "$1"; mkdir etc; echo >etc/file`, root)
	m := &machine.Machine{Mounts: []machine.Mount{{Target: "/", On: "disk:vda"}}, FileSystems: []machine.FileSystem{{On: "disk:vda", Used: 1 << 30}}}
	for _, c := range []struct {
		only  []string
		total int64
	}{{nil, 1 << 30}, {[]string{"/"}, 1 << 30}, {[]string{"/etc"}, 0}} {
		opt := options(t, root, t.TempDir(), "one")
		opt.Machine, opt.Only = m, c.only
		calls := 0
		opt.OnProgress = func(p backup.Progress) {
			if calls++; p.Total != c.total {
				t.Errorf("only %q: a total of %d, want %d", c.only, p.Total, c.total)
			}
		}
		if _, err := backup.Run(context.Background(), opt); err != nil || calls == 0 {
			t.Errorf("only %q: %d calls, %v", c.only, calls, err)
		}
	}
}

// Directories alone are no backup: something was written wrong.
func TestBackupWithoutAFileFails(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	testtree.Shell(t, `cd "$1"; mkdir -p etc/empty; echo >etc/file`, root)
	for _, change := range []func(*backup.Options){
		func(o *backup.Options) { o.Only = []string{"/nowhere"} },
		func(o *backup.Options) { o.Only = []string{"/etc/empty"} },
		func(o *backup.Options) { o.Exclude = []string{"/etc/*"} },
	} {
		opt := options(t, root, store, "one")
		change(&opt)
		if _, err := backup.Run(context.Background(), opt); fail.KindOf(err) != fail.Failed || err == nil || !strings.Contains(err.Error(), "no file in them") || fail.HintOf(err) == "" {
			t.Errorf("only %q, exclude %q: %v", opt.Only, opt.Exclude, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(store, "host")); err == nil && len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}
