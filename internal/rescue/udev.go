package rescue

import "path"

// udevRules are the rules that go on the medium, without their suffix. What
// is not in the list stays out, above all what would touch a disk before the
// administrator says so: 64-md-raid-assembly (starts arrays, which resync)
// and 69-lvm (activates volume groups); then desktops, sound and systemd.
var udevRules = []string{
	"01-md-raid-creating", "10-dm", "11-dm-lvm", "13-dm-disk", "50-firmware", "50-udev-default", "55-dm", "56-lvm",
	"60-block", "60-cdrom_id", "60-evdev", "60-fido-id", "60-input-id", "60-persistent-input", "60-persistent-storage",
	"60-persistent-storage-dm", "60-persistent-storage-mtd", "60-persistent-storage-tape", "60-serial", "61-persistent-storage-android", "63-md-raid-arrays",
	"64-btrfs", "64-btrfs-dm", "66-azure-storage", "73-special-net-names", "75-net-description", "80-debian-compat", "80-drivers",
	"80-net-setup-link", "95-dm-notify",
}

// udevHelpers are the programs that those rules start.
var udevHelpers = []string{"ata_id", "cdrom_id", "scsi_id", "mtd_probe", "fido_id"}

func (c *Contents) addUdev() error {
	t := c.Tree
	for _, dir := range []string{"/usr/lib/udev", "/lib/udev"} {
		if !isDir(t, dir) {
			continue
		}
		for _, n := range udevRules {
			if p := path.Join(dir, "rules.d", n+".rules"); isFile(t, p) {
				if _, err := t.AddHost(p); err != nil {
					return err
				}
			}
		}
		for _, n := range udevHelpers {
			if p := path.Join(dir, n); isFile(t, p) {
				if err := c.closure.Add(p); err != nil {
					return err
				}
			}
		}
	}
	// The machine's own names for its network cards.
	for _, p := range t.glob("/etc/systemd/network/*.link") {
		if isFile(t, p) {
			if _, err := t.AddHost(p); err != nil {
				return err
			}
		}
	}
	return nil
}
