package vm

import (
	"context"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
)

// A btrfs that mirrors everything over two disks, with the subvolumes of an
// openSUSE after a rollback. Its fstab names one subvolume by its number, which
// is another one after the restore.
func TestGridBtrfsTwoDevices(t *testing.T) {
	scenario{fixture: "uefi-btrfs-two", changed: []string{"/etc/fstab"}, looked: lookAtPair}.run(t)
}

// lookAtPair looks at what no file's facts tell: profiles, devices, subvolumes
// and their roles, attributes that act on files made later.
func lookAtPair(ctx context.Context, t *testing.T, vm *qemu.VM, key string) {
	t.Helper()
	for _, c := range []struct{ command, want string }{
		{"btrfs filesystem df / | sed -n 's/:.*//p'", "Data, RAID1\nSystem, RAID1\nMetadata, RAID1\nGlobalReserve, single\n"},
		{"btrfs filesystem show / | grep -c devid", "2\n"},
		{"btrfs device stats / | grep -vc ' 0$'; true", "0\n"},
		{"btrfs subvolume get-default / | sed 's/.* path //'", "@/.snapshots/1/snapshot\n"},
		{"grep -o rootflags /proc/cmdline /boot/grub/grub.cfg; true", ""},
		{"for m in / /home /srv /.snapshots; do findmnt -no FSROOT $m; done", "/@/.snapshots/1/snapshot\n/@/home\n/@/srv\n/@/.snapshots\n"},
		{"btrfs subvolume list -a / | sed 's/.* path //; s/<FS_TREE>.//' | sort", "@\n@/.snapshots\n@/.snapshots/1/snapshot\n@/.snapshots/1/snapshot/var/lib/nested\n@/home\n@/srv\n@/usr-local\n"},
		{"grep -c \"subvolid=$(btrfs inspect-internal rootid /srv),noatime\" /etc/fstab", "1\n"},
		{"grep -c subvolid= /etc/fstab.before-mkcdrec", "1\n"},
		{"cat /var/lib/nested/file", "within\n"},
		{"lsattr -d /var/lib/images | cut -d' ' -f1 | tr -d -- -; lsattr /var/lib/images/disk.raw | cut -d' ' -f1 | tr -d -- -", "C\nC\n"},
		{"btrfs property get /srv/packed compression; touch /srv/packed/later; btrfs property get /srv/packed/later compression", "compression=zstd\ncompression=zstd\n"},
		{"filefrag -v /srv/packed/text | grep -c encoded", ""},
	} {
		out, err := vm.SSH(ctx, key, c.command, nil)
		if c.want == "" && strings.Contains(c.command, "encoded") {
			if err != nil || string(out) == "0\n" {
				t.Errorf("%s: %q (%v): the file is not compressed", c.command, out, err)
			}
			continue
		}
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %q (%v), want %q", c.command, out, err, c.want)
		}
	}
}
