package vm

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// needsVM skips a test that starts whole machines, unless it was asked for;
// then what it needs has to be there.
func needsVM(t *testing.T) {
	t.Helper()
	if os.Getenv("MKCDREC_VM") == "" {
		t.Skip("starts whole virtual machines, which takes minutes: make vm runs it")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to make fixtures from packages")
	}
	for _, p := range []string{qemu.Program, "qemu-img", "mmdebstrap", "mke2fs"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: setup/test.sh installs it", p)
		}
	}
}

// fixture takes a fixture from the cache or makes it.
func fixture(ctx context.Context, t *testing.T, name string) *Fixture {
	t.Helper()
	f, err := MakeFixture(ctx, t.Logf, ".", name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// limit is the context of a scenario; it ends before go test's own limit so
// that machines are ended and the error has the console's last lines.
func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestFixtures(t *testing.T) {
	needsVM(t)
	for name := range recipes {
		t.Run(name, func(t *testing.T) {
			ctx := limit(t, 30*time.Minute)
			f := fixture(ctx, t, name)
			start := time.Now()
			vm, err := f.Boot(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Kill()
			t.Logf("continued in %s", time.Since(start).Round(time.Second))
			out, err := vm.SSH(ctx, f.Key, "hostname; findmnt -rn --real -o TARGET,SOURCE,FSTYPE,OPTIONS; swapon --show=NAME --noheadings; ls -d /sys/firmware/efi 2>/dev/null || true", nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("\n%s", out)
		})
	}
}
