package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// luck is the lab of a test. Its machines have one processor, so that two cases
// at a time take no more than one scenario.
func luck(ctx context.Context, t *testing.T) (l *luckLab, dir string) {
	t.Helper()
	dir = scratch(t)
	l, err := makeLuck(ctx, t.Logf, ".", binary(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, dir
}

const luckRestore = "mkcdrec restore --answers /run/luck/answers.toml 2>&1 | cat; (exit ${PIPESTATUS[0]})"

// blankPair are the two disks of a restore, with nothing on them.
func blankPair(t *testing.T, dir, name string) []luckDisk {
	t.Helper()
	var out []luckDisk
	for i := range 2 {
		d := luckDisk{path: filepath.Join(dir, name+strconv.Itoa(i)+".raw"), serial: replaced + strconv.Itoa(i+1)}
		if err := blankRaw(d.path, luckSize); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// sameAsOriginal looks at the disks by the programs themselves, and compares
// what is on them with the listing of the original. missing is "N M": of N
// arrays M members are missing.
func (r *rescueVM) sameAsOriginal(ctx context.Context, t *testing.T, missing string) {
	t.Helper()
	out, code, err := r.run(ctx, "bash /run/luck/check.sh", 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)^(\d+)\s+(\d[\d\s]*)$`).FindStringSubmatch(strings.TrimSpace(out))
	if m == nil || code != 0 {
		t.Errorf("the restored machine differs from the original (exit %d):\n%s", code, out)
		return
	}
	if n, _ := strconv.Atoi(m[1]); n < 1000 {
		t.Errorf("only %d facts were compared", n)
	}
	if is := strings.Join(strings.Fields(m[2]), " "); is != missing {
		t.Errorf("arrays and the members that they miss: %s, want %s", is, missing)
	}
}

// TestGridPowerCutAfterEveryStep restores once, and keeps what is on the disks
// at the end of each step, while the machine stands still: what a power cut at
// that moment leaves. Then the rescue system is started anew on each of these
// pairs of disks, and has to bring the machine back.
func TestGridPowerCutAfterEveryStep(t *testing.T) {
	needsVM(t)
	ctx := limit(t, 110*time.Minute)
	l, dir := luck(ctx, t)
	cuts := keepEachStep(ctx, t, l, dir)
	if len(cuts) < 25 {
		t.Errorf("only %d steps were seen", len(cuts))
	}
	from := 0
	if s := os.Getenv("MKCDREC_CUTS_FROM"); s != "" {
		from, _ = strconv.Atoi(s)
	}
	for _, c := range cuts {
		if c.after < from {
			continue
		}
		t.Run(fmt.Sprintf("%02d", c.after), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			r, err := l.start(ctx, dir, fmt.Sprintf("cut-%02d", c.after), c.disks...)
			if err != nil {
				t.Fatal(err)
			}
			defer r.cut()
			up := time.Since(start)
			out, code, err := r.run(ctx, luckRestore, 6*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			restored := time.Since(start) - up
			if code != 0 {
				t.Fatalf("cut after %s: the second start ended with %d:\n%s", c.step, code, out)
			}
			before := strings.Count(out, "was done before")
			if c.mounted && before == 0 {
				t.Errorf("cut after %s: nothing was found done:\n%s", c.step, out)
			}
			r.sameAsOriginal(ctx, t, "3 0")
			t.Logf("cut after %s: %d steps were done before, started in %.0f s, restored in %.0f s", c.step, before, up.Seconds(), restored.Seconds())
			for _, d := range c.disks {
				if !t.Failed() {
					os.Remove(d.path)
				}
			}
		})
	}
}

// powerCut is what a cut after a step leaves.
type powerCut struct {
	after   int    // number of the step, from 1; 0: before the first
	step    string // its text
	mounted bool   // the root file system is there, and the journal on it
	disks   []luckDisk
}

// keepEachStep restores onto blank disks and copies them whenever a step ends,
// which shows by the line of the next one.
func keepEachStep(ctx context.Context, t *testing.T, l *luckLab, dir string) []powerCut {
	t.Helper()
	disks := blankPair(t, dir, "whole")
	r, err := l.start(ctx, dir, "whole", disks...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.cut()
	start := time.Now()
	if err := r.begin(luckRestore); err != nil {
		t.Fatal(err)
	}
	var cuts []powerCut
	last, mounted := "the check of the backup", false
	for {
		m, err := r.WaitFor(ctx, `==> (\d+)/(\d+) ([^\n]*)\n|END=(\d+)\n`, 6*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if m[4] != "" {
			if m[4] != "0" {
				t.Fatalf("a restore without bad luck ended with %s:\n%s", m[4], r.Console())
			}
			break
		}
		if _, err := r.QMP(ctx, "stop", nil); err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(m[1])
		c := powerCut{after: n - 1, step: last, mounted: mounted}
		for i, d := range disks {
			k := luckDisk{path: filepath.Join(dir, fmt.Sprintf("cut-%02d-%d.raw", n-1, i)), serial: d.serial}
			if err := copySparse(ctx, d.path, k.path); err != nil {
				t.Fatal(err)
			}
			c.disks = append(c.disks, k)
		}
		cuts = append(cuts, c)
		if _, err := r.QMP(ctx, "cont", nil); err != nil {
			t.Fatal(err)
		}
		last = m[3]
		mounted = mounted || strings.HasPrefix(m[3], "mount ") && strings.HasSuffix(m[3], " for /")
	}
	t.Logf("restored in %.0f s, with %d stops; it says:\n%s", time.Since(start).Seconds(), len(cuts), r.Console()[max(0, len(r.Console())-6000):])
	r.sameAsOriginal(ctx, t, "3 0")
	return cuts
}
