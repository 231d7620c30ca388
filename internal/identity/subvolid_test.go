package identity

import (
	"strings"
	"testing"
)

func TestSubvolIDs(t *testing.T) {
	const fstab = `# subvolid=258 in a comment
UUID=a / btrfs defaults 0 0
UUID=a /srv btrfs noatime,subvolid=258,compress=zstd 0 0
UUID=a	/home	btrfs	subvolid=0x101	0	0
UUID=a /top btrfs subvolid=5 0 0
UUID=b /data btrfs subvolid=258 0 0
UUID=a /xfs xfs subvolid=258 0 0
UUID=a /unknown btrfs subvolid=999 0 0
`
	ids := map[uint64]uint64{257: 300, 258: 257, 259: 258}
	got, what := SubvolIDs([]byte(fstab), func(source, target string) map[uint64]uint64 {
		if source == "UUID=a" {
			return ids
		}
		return nil
	})
	want := strings.NewReplacer("noatime,subvolid=258,", "noatime,subvolid=257,", "subvolid=0x101", "subvolid=300").Replace(fstab)
	if string(got) != want || len(what) != 2 {
		t.Errorf("got\n%swant\n%s%v", got, want, what)
	}
	line := `GRUB_CMDLINE_LINUX="rootflags=compress=zstd,subvolid=258 quiet subvolid=258"`
	if got := string(RootSubvolID([]byte(line), ids)); got != strings.Replace(line, "subvolid=258 quiet", "subvolid=257 quiet", 1) {
		t.Errorf("got %s", got)
	}
	if got := string(RootSubvolID([]byte("linux /vmlinuz rootflags=subvolid=258\n"), ids)); got != "linux /vmlinuz rootflags=subvolid=257\n" {
		t.Errorf("got %s", got)
	}
}
