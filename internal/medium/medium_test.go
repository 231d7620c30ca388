package medium

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

var made = time.Date(2026, 11, 24, 3, 15, 0, 0, time.UTC)

// hostKernel is the newest kernel of this machine.
func hostKernel(t *testing.T) string {
	t.Helper()
	list, _ := filepath.Glob("/boot/vmlinuz-*")
	if len(list) == 0 {
		t.Skip("needs a kernel in /boot (Debian: linux-image-amd64)")
	}
	return list[len(list)-1]
}

// hostLoaders are this machine's boot loaders; the test needs all of them.
func hostLoaders(t *testing.T) Loaders {
	t.Helper()
	l, err := FindLoaders(context.Background(), &system.Host{}, "/", Label("0badcafe"))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Notes) > 0 {
		t.Skip("needs all boot loaders (Debian: grub-pc-bin grub-efi-amd64-bin grub-efi-amd64-signed shim-signed): ", l.Notes)
	}
	return l
}

// build makes a medium with a small backup and returns its path.
func build(t *testing.T, o Options) (string, Summary) {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "recovery.iso")
	if o.Initramfs == "" {
		o.Initramfs = filepath.Join(t.TempDir(), "initrd")
		if err := os.WriteFile(o.Initramfs, bytes.Repeat([]byte("initramfs"), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.Kernel == "" {
		o.Kernel = o.Initramfs
	}
	w, err := NewWriter(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	sink := w.BackupSink()
	for _, name := range []string{"20261124T031500Z-0bad/data-0001.tar.zst", "20261124T031500Z-0bad/manifest.json"} {
		f, err := sink.Create(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bytes.Repeat([]byte(name), 5000)); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Close(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}

func options(l Loaders) Options {
	return Options{ID: "0badcafe", Host: "web1", Made: made, BackupID: "20261124T031500Z-0bad", Loaders: l}
}

// extract copies a file of the medium to a temporary one, by our reader.
func extract(t *testing.T, path, name string) string {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f, err := m.Reader.Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, f.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(out, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

// foreign runs a tool that is not ours and returns what it says.
func foreign(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip("needs ", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestForeignTools has a whole medium judged by xorriso, sgdisk and fsck.vfat.
func TestForeignTools(t *testing.T) {
	path, s := build(t, options(hostLoaders(t)))
	if !s.BIOS || !s.BIOSUSB || !s.UEFI || !s.SecureBoot || s.Label != "MKCDREC_0BADCAFE" {
		t.Errorf("summary %+v", s)
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() != s.Size {
		t.Errorf("size %d in the summary, %v", s.Size, fi)
	}
	t.Run("xorriso", func(t *testing.T) {
		out := foreign(t, "xorriso", "-abort_on", "WARNING", "-indev", path, "-report_el_torito", "plain", "-report_system_area", "plain")
		for _, want := range []string{
			"Volume id    : 'MKCDREC_0BADCAFE'",
			"El Torito img path :   1  /boot/grub/eltorito.img",
			"El Torito img opts :   1  boot-info-table grub2-boot-info",
			"El Torito img path :   2  /boot/grub/efi.img",
			"System area summary: MBR protective-msdos-label grub2-mbr",
			"GPT partition path :   1  /boot/grub/efi.img",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("xorriso does not say %q:\n%s", want, out)
			}
		}
	})
	t.Run("sgdisk", func(t *testing.T) {
		out := foreign(t, "sgdisk", "-v", path)
		if !strings.Contains(out, "No problems found") || strings.Contains(out, "aution") || strings.Contains(out, "arning") {
			t.Errorf("sgdisk -v:\n%s", out)
		}
	})
	t.Run("fsck.vfat", func(t *testing.T) {
		if out := foreign(t, "fsck.vfat", "-n", extract(t, path, "boot/grub/efi.img")); strings.Count(out, "\n") > 2 {
			t.Errorf("fsck.vfat:\n%s", out)
		}
	})
	t.Run("boot code", func(t *testing.T) { // boot_hybrid.img loads the core image from this block
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(extract(t, path, "boot/grub/eltorito.img"))
		if err != nil {
			t.Fatal(err)
		}
		if at := binary.LittleEndian.Uint64(b[432:]) * 512; !bytes.HasPrefix(b[at:], image[2048:]) {
			t.Errorf("the master boot record points at byte %d, where the core image is not", at)
		}
	})
	t.Run("grub-script-check", func(t *testing.T) {
		foreign(t, "grub-script-check", extract(t, path, "boot/grub/grub.cfg"))
	})
}

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	path, _ := build(t, options(Loaders{BIOS: fakeImage(), Notes: []string{"it does not boot on UEFI: a test"}}))
	ctx := context.Background()
	calls := 0
	rep, err := Verify(ctx, path, nil, func(done, total int64) {
		if calls++; done > total {
			t.Errorf("progress %d of %d", done, total)
		}
	})
	if err != nil || rep.Files < 8 || calls == 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const name = "20261124T031500Z-0bad/data-0001.tar.zst"
	at := bytes.Index(b, []byte(name+name))
	b[at+12345] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	rep, err = Verify(ctx, path, nil, nil)
	if fail.KindOf(err) != fail.Damaged || !slices.Equal(rep.Damaged, []string{"backup/" + name}) {
		t.Errorf("%+v, %v", rep, err)
	}
	if err := os.Truncate(path, int64(len(b)/2)); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(ctx, path, nil, nil); fail.KindOf(err) != fail.Damaged || fail.HintOf(err) == "" {
		t.Errorf("a truncated image: %v", err)
	}
}

// fakeImage is as large as a GRUB image has to be.
func fakeImage() []byte { return bytes.Repeat([]byte{0x90}, 4096) }

func TestReproducible(t *testing.T) {
	l := Loaders{BIOS: fakeImage(), MBR: make([]byte, 512), GRUB64: []byte("grub")}
	read := func() []byte {
		path, _ := build(t, options(l))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(read(), read()) {
		t.Error("the same input makes another medium")
	}
}

func TestAbortKeepsWhatWasThere(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path := filepath.Join(dir, "recovery.iso")
	if err := os.WriteFile(path, []byte("the last medium"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(Loaders{BIOS: fakeImage()})
	o.Kernel = path
	o.Initramfs = path
	w, err := NewWriter(ctx, path, o)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.Free(ctx); err != nil || n <= 0 {
		t.Errorf("free space %d, %v", n, err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	o.Initramfs = filepath.Join(dir, "missing")
	if _, err := NewWriter(ctx, path, o); err == nil || !strings.Contains(err.Error(), "cannot put boot/") {
		t.Errorf("without an initramfs: %v", err)
	}
	list, _ := os.ReadDir(dir)
	b, _ := os.ReadFile(path)
	if len(list) != 1 || string(b) != "the last medium" {
		t.Errorf("left: %v, with %q", list, b)
	}
}

func TestRefused(t *testing.T) {
	ctx := context.Background()
	good := options(Loaders{BIOS: fakeImage()})
	for _, c := range []struct {
		name   string
		change func(*Options)
		kind   fail.Kind
	}{
		{"no loader at all", func(o *Options) { o.Loaders = Loaders{Notes: []string{"nothing here"}} }, fail.Unsupported},
		{"ID", func(o *Options) { o.ID = "x" }, fail.Failed},
		{"kernel argument", func(o *Options) { o.Menu.KernelArgs = []string{"a\nb"} }, fail.Usage},
		{"command in a kernel argument", func(o *Options) { o.Menu.KernelArgs = []string{"a;reboot"} }, fail.Usage},
		{"default entry", func(o *Options) { o.Menu.Default = 6 }, fail.Usage},
		{"serial port", func(o *Options) { o.Menu.SerialUnit = 9 }, fail.Usage},
		{"kernel that is not there", func(o *Options) { o.Kernel = "/nonexistent" }, fail.Failed},
	} {
		o := good
		o.Kernel, o.Initramfs = "/proc/self/exe", "/proc/self/exe"
		c.change(&o)
		dir := t.TempDir()
		_, err := NewWriter(ctx, filepath.Join(dir, "x.iso"), o)
		if err == nil || fail.KindOf(err) != c.kind {
			t.Errorf("%s: error %v", c.name, err)
		}
		if list, _ := os.ReadDir(dir); len(list) > 0 {
			t.Errorf("%s: left %v", c.name, list)
		}
	}
}
