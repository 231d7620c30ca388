package vm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// badLuck is one case in which a restore cannot go well, or not wholly.
type badLuck struct {
	disks   []luckDisk // path is set by the test; size below
	size    int64      // of all disks; 0: luckSize
	before  string     // command at the prompt before
	restore string     // what is run; "": luckRestore
	// during is what happens while it runs, when the console shows when.
	when     string
	during   func(ctx context.Context, r *rescueVM) error
	code     int      // exit code
	says     []string // patterns of what it says
	touched  []int    // disks that may have other bytes after it
	restored bool     // the machine is as it was
	missing  string   // then: "N M", for how many arrays how many members are missing
}

func pair(more ...luckDisk) []luckDisk {
	return append([]luckDisk{{serial: replaced + "1"}, {serial: replaced + "2"}}, more...)
}

// bystander is a disk that no case is about.
var bystander = luckDisk{serial: "BYSTANDER"}

// with runs a restore by the answers, changed by sed.
func with(sed string) string {
	return "sed '" + sed + "' /run/luck/answers.toml >/run/answers; " + strings.ReplaceAll(luckRestore, "/run/luck/answers.toml", "/run/answers")
}

// failing are writes to a place on the disk, and to one each MiB behind it.
func failing(from, to int64) []map[string]any {
	var out []map[string]any
	for at := from; at <= to; at += 1 << 20 {
		out = append(out, map[string]any{"event": "none", "iotype": "write", "errno": 5, "sector": at / 512, "once": false, "immediately": false})
	}
	return out
}

var badLucks = map[string]badLuck{
	"wrong pass phrase": {
		disks: pair(bystander), restore: with("s|/run/luck/key|/run/luck/wrong|"), code: 6,
		says: []string{`does not open the encrypted device vault .*nothing was changed`},
	},
	"member disk missing": {
		disks: []luckDisk{{serial: replaced + "1"}, bystander}, restore: with(`s|, "serial:REPLACED2"||`), code: 4,
		says: []string{`error: .*sd[ab]`, `hint: `},
	},
	"named disk is not here": {
		disks: []luckDisk{{serial: replaced + "1"}, bystander}, code: 4,
		says: []string{`no disk here is "serial:REPLACED2"`, `hint: .*BYSTANDER`},
	},
	"equal serial numbers": {
		disks: []luckDisk{{serial: "SAME"}, {serial: "SAME"}, {serial: "SAME"}}, restore: with(`s|^disks.*|disks = ["serial:SAME"]|`), code: 4,
		says: []string{`names more than one disk: .*sda.*sdb.*sdc`},
	},
	"no serial numbers": {
		disks: []luckDisk{{}, {}, {}}, restore: "mkcdrec restore --any-machine --luks-key /run/luck/key 2>&1 </dev/null | cat; (exit ${PIPESTATUS[0]})", code: 4,
		says: []string{`sda.*sdb.*sdc`, `hint: .*--(disk|map)`},
	},
	"smaller than what was used": {
		disks: pair(bystander), size: 160 << 20, code: 4,
		says: []string{`error: .*(needs|too small|room)`},
	},
	"group of that name on another disk": {
		disks: pair(bystander), before: "pvcreate -q -y /dev/sdc && vgcreate -q vg0 /dev/sdc && lvcreate -qy -L 8M -n root vg0 && vgchange -q -an vg0; sync", code: 4,
		says: []string{`vg0 lies on disk sdc`, `hint: .*vgrename vg0`},
	},
	"device of that name open on another disk": {
		disks:  pair(bystander),
		before: "printf other | cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file=- /dev/sdc && printf other | cryptsetup open --key-file=- /dev/sdc vault; sync", code: 4,
		says: []string{`open as vault on disk sdc`, `hint: .*cryptsetup close vault`},
	},
	"old signatures everywhere": {
		disks: pair(bystander), before: "bash /run/luck/old.sh", code: 0, touched: []int{0, 1}, restored: true, missing: "3 0",
	},
	"plan file edited by hand": {
		disks:   pair(bystander),
		before:  "mkcdrec restore --plan-out /run/p.json --disk serial:REPLACED1 --disk serial:REPLACED2 >/dev/null && sed -i 's/\"label\": *\"home\"/\"label\": \"hole\"/' /run/p.json && grep -c '\"hole\"' /run/p.json",
		restore: "mkcdrec restore --plan-in /run/p.json --any-machine --luks-key /run/luck/key 2>&1 </dev/null | cat; (exit ${PIPESTATUS[0]})", code: 2,
		says: []string{`error: .*plan`},
	},
	"EIO on the partition table": {
		disks: append([]luckDisk{{serial: replaced + "1", faults: failing(0, 0)}}, pair(bystander)[1:]...), code: 1, touched: []int{0, 1},
		says: []string{`error: .*/dev/sda`, `hint: `},
	},
	"EIO in the only file system on the disk": {
		disks: append([]luckDisk{{serial: replaced + "1", faults: failing(722<<20, 820<<20)}}, pair(bystander)[1:]...), code: 1, touched: []int{0, 1},
		says: []string{`error: .*(sda|/srv)`},
	},
	"EIO on a member": {
		disks: append(pair()[:1], luckDisk{serial: replaced + "2", faults: failing(200<<20, 600<<20)}, bystander), code: 3, touched: []int{0, 1},
		says: []string{`warning: array .* has lost 1 member .*sdb3`}, restored: true, missing: "2 0 1 1",
	},
	"disk disappears with all copies of a file system": {
		disks: pair(bystander), when: `==> \d+/\d+ unpack [^\n]*\n`, during: func(ctx context.Context, r *rescueVM) error { return r.unplug(ctx, 0) }, code: 1, touched: []int{0, 1},
		says: []string{`error: .*`},
	},
	"disk disappears that is mirrored": {
		disks: pair(bystander), when: `==> \d+/\d+ unpack [^\n]*\n`, during: func(ctx context.Context, r *rescueVM) error { return r.unplug(ctx, 1) }, code: 3, touched: []int{0, 1},
		says: []string{`warning: array .* has lost 1 member .*sdb`}, restored: true, missing: "3 1",
	},
}

// TestGridBadLuck restores where something is wrong: a clear error, an exit
// code of its own, and no other disk is touched.
func TestGridBadLuck(t *testing.T) {
	needsVM(t)
	ctx := limit(t, 110*time.Minute)
	l, dir := luck(ctx, t)
	for name, b := range badLucks {
		t.Run(name, func(t *testing.T) {
			b.run(ctx, t, l, filepath.Join(dir, regexp.MustCompile(`\W`).ReplaceAllString(name, "-")))
		})
	}
}

func (b badLuck) run(ctx context.Context, t *testing.T, l *luckLab, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range b.disks {
		d := &b.disks[i]
		size := b.size
		switch {
		case d.serial == bystander.serial:
			size = 64 << 20
		case size == 0:
			size = luckSize
		}
		d.path = filepath.Join(dir, strconv.Itoa(i)+".raw")
		if err := blankRaw(d.path, size); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.start(ctx, dir, "rescue", b.disks...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.cut()
	if b.before != "" {
		out, code, err := r.run(ctx, b.before, 4*time.Minute)
		if err != nil || code != 0 {
			t.Fatalf("cannot prepare: exit %d (%v): %s", code, err, out)
		}
		t.Logf("before: %s", out)
	}
	was := sums(t, b.disks)
	start := time.Now()
	said, code := b.try(ctx, t, r)
	t.Logf("ended with %d after %.0f s:\n%s", code, time.Since(start).Seconds(), lastLines(said, 25))
	if code != b.code {
		t.Errorf("exit code %d, want %d", code, b.code)
	}
	for _, p := range b.says {
		if !regexp.MustCompile(p).MatchString(said) {
			t.Errorf("it does not say %q", p)
		}
	}
	is := sums(t, b.disks)
	for i := range b.disks {
		touched := false
		for _, n := range b.touched {
			touched = touched || n == i
		}
		if was[i] != is[i] && !touched {
			t.Errorf("disk %d (%s) was written to", i, b.disks[i].serial)
		}
	}
	if b.restored {
		r.sameAsOriginal(ctx, t, b.missing)
	}
	if !t.Failed() {
		r.cut()
		os.RemoveAll(dir)
	}
}

// try runs the restore, with what happens meanwhile.
func (b badLuck) try(ctx context.Context, t *testing.T, r *rescueVM) (said string, code int) {
	t.Helper()
	command := b.restore
	if command == "" {
		command = luckRestore
	}
	if err := r.begin(command); err != nil {
		t.Fatal(err)
	}
	if b.during != nil {
		if _, err := r.WaitFor(ctx, b.when, 6*time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := b.during(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	said, code, err := r.end(ctx, 8*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return said, code
}

// sums are the hashes of the disks.
func sums(t *testing.T, disks []luckDisk) []string {
	t.Helper()
	var out []string
	for _, d := range disks {
		f, err := os.Open(d.path)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		out = append(out, fmt.Sprintf("%x", h.Sum(nil)))
	}
	return out
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "    " + strings.Join(lines[max(0, len(lines)-n):], "\n    ")
}
