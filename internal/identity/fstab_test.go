package identity

import "testing"

func TestAddFstab(t *testing.T) {
	esp := FstabEntry{Source: "UUID=12AB-34CD", Target: "/boot/efi", Kind: "vfat", Options: "umask=0077", Pass: 1}
	const line = "UUID=12AB-34CD /boot/efi vfat umask=0077 0 1\n"
	for _, c := range []struct{ in, want string }{
		{"", line},
		{"UUID=1 / ext4 defaults 0 1\n", "UUID=1 / ext4 defaults 0 1\n" + line},
		{"UUID=1 / ext4 defaults 0 1", "UUID=1 / ext4 defaults 0 1\n" + line},
		{"# UUID=9 /boot/efi vfat defaults 0 1\n", "# UUID=9 /boot/efi vfat defaults 0 1\n" + line},
		{"UUID=9\t/boot/efi\tvfat\tdefaults\t0\t1\n", "UUID=9\t/boot/efi\tvfat\tdefaults\t0\t1\n"},
	} {
		got := string(AddFstab([]byte(c.in), esp))
		if got != c.want {
			t.Errorf("AddFstab(%q) = %q, want %q", c.in, got, c.want)
		}
		if again := string(AddFstab([]byte(got), esp)); again != got {
			t.Errorf("a second time it becomes %q", again)
		}
	}
	odd := string(AddFstab(nil, FstabEntry{Source: "LABEL=a b", Target: "/x y", Kind: "ext4", Options: "defaults"}))
	if want := "LABEL=a\\040b /x\\040y ext4 defaults 0 0\n"; odd != want {
		t.Errorf("got %q, want %q", odd, want)
	}
}

func TestPartUUIDs(t *testing.T) {
	ids := map[string]string{"2b3c4d5e-01": "AAAA-1", "2b3c4d5e-05": "BBBB-5"}
	const in = "PARTUUID=2B3C4D5E-01 / ext4\nPARTUUID=\"2b3c4d5e-05\" /home ext4\n/dev/disk/by-partuuid/2b3c4d5e-05 none\nPARTUUID=2b3c4d5e-015 x\nUUID=2b3c4d5e-01 y\n"
	const want = "PARTUUID=aaaa-1 / ext4\nPARTUUID=\"bbbb-5\" /home ext4\n/dev/disk/by-partuuid/bbbb-5 none\nPARTUUID=2b3c4d5e-015 x\nUUID=2b3c4d5e-01 y\n"
	if got := string(PartUUIDs([]byte(in), ids)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := string(PartUUIDs([]byte(want), ids)); got != want {
		t.Errorf("carried out again it changes more: %q", got)
	}
}
