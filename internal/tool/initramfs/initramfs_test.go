package initramfs

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// What lsinitrd of Debian 13 says (some of its lines), and in the form of
// lsinitramfs and lsinitcpio.
func TestParseListing(t *testing.T) {
	b, err := os.ReadFile("testdata/lsinitrd-debian13.txt")
	if err != nil {
		t.Fatal(err)
	}
	l := ParseListing(string(b))
	for _, m := range []string{"virtio_blk", "ext4"} {
		if !l.Modules[m] {
			t.Errorf("%s was not seen among %v", m, slices.Sorted(maps.Keys(l.Modules)))
		}
	}
	if l.Modules["nvme"] || l.Names["crypttab"] || !l.Names["fstab.empty"] {
		t.Errorf("%v", l)
	}
	l = ParseListing("kernel/x\nusr/lib/modules/6.1/kernel/drivers/nvme/host/nvme-core.ko.xz\nlib/modules/6.1/kernel/a.ko\ncryptroot/crypttab\n" +
		"lrwxrwxrwx   1 root     root            6 Nov 30 09:38 usr/sbin/fsck.ext4 -> e2fsck\n")
	if !l.Names["fsck.ext4"] || l.Names["e2fsck"] || !l.Modules["nvme_core"] || !l.Modules["a"] || !l.Names["crypttab"] || len(l.Modules) != 2 {
		t.Errorf("%v", l)
	}
}

func TestRebuild(t *testing.T) {
	b := Build{Kernel: "6.1", Image: "/boot/i", Drivers: []string{"nvme", "nvme_core"}}
	unified := b
	unified.Cmdline = "root=UUID=x ro"
	for _, tt := range []struct {
		maker string
		b     Build
		want  string
	}{
		{"initramfs-tools", b, "chroot /r update-initramfs -u -k 6.1"},
		{"dracut", b, "chroot /r dracut --force --add-drivers 'nvme nvme_core' /boot/i 6.1"},
		{"dracut", unified, "chroot /r dracut --force --add-drivers 'nvme nvme_core' --uefi --kernel-cmdline 'root=UUID=x ro' /boot/i 6.1"},
		{"mkinitcpio", b, "chroot /r mkinitcpio -P"},
	} {
		i := slices.IndexFunc(Makers, func(m Maker) bool { return m.Name == tt.maker })
		r := &system.Recorder{}
		if err := Rebuild(context.Background(), r, "/r", Makers[i], tt.b); err != nil {
			t.Error(err)
		}
		if got := r.Commands(); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: %q", tt.maker, got)
		}
		r.Answers = map[string]system.Answer{"chroot*": {ExitCode: 1, Stderr: "no space"}}
		if err := Rebuild(context.Background(), r, "/r", Makers[i], tt.b); err == nil || !strings.Contains(err.Error(), "kernel 6.1") {
			t.Errorf("%s: %v", tt.maker, err)
		}
	}
}

func TestUnifiedLayout(t *testing.T) {
	for conf, want := range map[string]bool{"": false, "# layout=uki\n": false, "layout=bls\n": false, "initrd_generator=dracut\nlayout=uki\n": true} {
		if UnifiedLayout([]byte(conf)) != want {
			t.Errorf("%q is not %v", conf, want)
		}
	}
}
