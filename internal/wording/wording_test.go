package wording

import "testing"

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 disks", 1: "1 disk", 2: "2 disks", -1: "-1 disks", 1 << 40: "1099511627776 disks"} {
		if got := Count(n, "disk"); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}
