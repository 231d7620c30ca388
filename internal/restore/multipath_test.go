package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// multipathBench is what sysfs shows of a multipath device dm-0 and its
// partitions, dm-1 and so on.
func multipathBench(d machine.Disk, write func(name, text string)) {
	write("sys/block/dm-0/size", fmt.Sprint(int64(d.Size/512), "\n"))
	write("sys/block/dm-0/dev", "253:0\n")
	write("sys/block/dm-0/dm/name", d.Name+"\n")
	write("sys/block/dm-0/dm/uuid", "mpath-"+d.WWN+"\n")
	for _, q := range d.Table.Partitions {
		dir := fmt.Sprintf("sys/block/dm-%d/", q.Number)
		write(dir+"dev", fmt.Sprintf("253:%d\n", q.Number))
		write(dir+"dm/name", filepath.Base(q.Path)+"\n")
		write(dir+"dm/uuid", fmt.Sprintf("part%d-mpath-%s\n", q.Number, d.WWN))
		write(fmt.Sprintf("sys/block/dm-0/holders/dm-%d/x", q.Number), "")
	}
}

// The partitions of a map are wiped while they are there, removed before the
// table goes, and made anew by kpartx behind sfdisk.
func TestMultipathInOrder(t *testing.T) {
	m := machinetest.UEFIMultipath()
	o, run, _ := bench(t, m, m, plan.Info{})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	all := strings.Split(commands(o, run), "\n")
	at := -1
	for _, want := range []string{"wipefs --all --force /dev/dm-1", "dmsetup remove --retry mpatha-part1", "dmsetup remove --retry mpatha-part3", "wipefs --all --force /dev/dm-0",
		"sfdisk --wipe always --wipe-partitions always /dev/dm-0", "kpartx -a -s -p -part /dev/mapper/mpatha", "mkfs.vfat"} {
		i := slices.IndexFunc(all, func(c string) bool { return strings.HasPrefix(c, want) })
		if i <= at {
			t.Errorf("%q is command %d, behind %d:\n%s", want, i, at, strings.Join(all, "\n"))
		}
		at = i
	}
	if need := Tools(o.Plan); !slices.Contains(need, "kpartx") || !slices.Contains(need, "multipath") {
		t.Errorf("needs %v", need)
	}
}

// What is mounted of a map's partition stops the restore, whatever its device
// is called; so does a map that is not there.
func TestMultipathGuards(t *testing.T) {
	m := machinetest.UEFIMultipath()
	for name, spoil := range map[string]func(root string) error{
		"mounted": func(root string) error {
			return os.WriteFile(filepath.Join(root, "proc/self/mountinfo"), []byte("20 1 253:2 / /mnt rw - ext4 /dev/mapper/mpatha-part2 rw\n"), 0o644)
		},
		"no map": func(root string) error { return os.RemoveAll(filepath.Join(root, "sys/block/dm-0")) },
	} {
		o, run, _ := bench(t, m, m, plan.Info{})
		if err := spoil(o.Root); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), o); fail.KindOf(err) != fail.Refused {
			t.Errorf("%s: %v", name, err)
		}
		for _, c := range run.Commands() {
			if strings.HasPrefix(c, "wipefs --all") || strings.HasPrefix(c, "sfdisk --wipe") || strings.HasPrefix(c, "dmsetup remove") {
				t.Errorf("%s: %s", name, c)
			}
		}
	}
}
