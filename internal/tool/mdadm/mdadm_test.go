package mdadm

import (
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// capture is one array of a real kernel (6.1) and mdadm (4.2): what sysfs and
// --detail --export said. The files say "name: content" of sysfs.
func capture(t *testing.T, name string) (fs.FS, Exported) {
	t.Helper()
	read := func(f string) []byte {
		b, err := os.ReadFile("testdata/" + name + "/" + f)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	files := fstest.MapFS{}
	for line := range strings.Lines(string(read("sysfs.txt"))) {
		if key, value, ok := strings.Cut(strings.TrimPrefix(line, "md/"), ":"); ok {
			files[key] = &fstest.MapFile{Data: []byte(strings.TrimPrefix(value, " "))}
		}
	}
	return files, parseExport(read("export.txt"))
}

func TestReadCaptures(t *testing.T) {
	sync := func(name string, slot int, offset machine.Bytes) Device {
		return Device{Name: name, Slot: slot, Offset: offset, Flags: []string{"in_sync"}}
	}
	const mib = machine.Bytes(1 << 20)
	tests := map[string]struct {
		state State
		name  string // of the superblock
	}{
		"raid1-10-esp": {State{Array: "clean", Level: "raid1", Metadata: "1.0", Slots: 2, Component: 131008 << 10, Policy: "resync",
			Devices: []Device{sync("vdb", 0, 0), sync("vdc", 1, 0)}}, "fixture:esp"},
		"raid1-090": {State{Array: "clean", Level: "raid1", Metadata: "0.90", Slots: 2, Component: 131008 << 10, Policy: "resync",
			Devices: []Device{sync("vdb", 0, 0), sync("vdc", 1, 0)}}, ""},
		"raid1-12-failed": {State{Array: "clean", Level: "raid1", Metadata: "1.2", Slots: 2, Component: 130048 << 10, Bitmap: "internal", Policy: "bitmap",
			Devices: []Device{sync("vdb", 0, mib), {Name: "vdd", Slot: -1, Offset: mib, Flags: []string{"faulty", "write_mostly"}}}}, "fixture:boot"},
		"raid0": {State{Array: "clean", Level: "raid0", Metadata: "1.2", Slots: 2, Chunk: 64 << 10, Policy: "none",
			Devices: []Device{sync("vdb", 0, mib), sync("vdc", 1, mib)}}, "fixture:0"},
		"raid5": {State{Array: "clean", Level: "raid5", Metadata: "1.2", Slots: 3, Chunk: 64 << 10, Layout: "left-asymmetric", Component: 130048 << 10, Policy: "resync",
			Devices: []Device{sync("vdb", 0, mib), sync("vdc", 1, mib), sync("vdd", 2, mib)}}, "fixture:data"},
		"raid6-degraded": {State{Array: "clean", Level: "raid6", Metadata: "1.2", Slots: 4, Chunk: 512 << 10, Layout: "left-symmetric", Component: 129024 << 10, Policy: "resync",
			Devices: []Device{sync("vdb", 0, 2*mib), sync("vdc", 1, 2*mib), sync("vdd", 2, 2*mib)}}, "fixture:6"},
		"raid10": {State{Array: "clean", Level: "raid10", Metadata: "1.2", Slots: 4, Chunk: 128 << 10, Layout: "far=2", Component: 130048 << 10, Bitmap: "internal", Policy: "bitmap",
			Devices: []Device{sync("vdb", 0, mib), sync("vdc", 1, mib), sync("vdd", 2, mib), sync("vde", 3, mib)}}, "fixture:10"},
		"raid5-journal": {State{Array: "clean", Level: "raid5", Metadata: "1.2", Slots: 3, Chunk: 512 << 10, Layout: "left-symmetric", Component: 129024 << 10, Policy: "journal",
			Devices: []Device{sync("vdb", 0, 2*mib), sync("vdc", 1, 2*mib), sync("vdd", 2, 2*mib), {Name: "vde", Slot: -1, Flags: []string{"journal"}}}}, "fixture:5"},
		"ddf-md127": {State{Array: "inactive", Metadata: "external:ddf", Policy: "unknown",
			Devices: []Device{{Name: "vdb", Slot: -1, Offset: 96 * mib, Flags: []string{"spare"}}, {Name: "vdc", Slot: -1, Offset: 96 * mib, Flags: []string{"spare"}}}}, ""},
	}
	for name, want := range tests {
		files, e := capture(t, name)
		got, err := ReadState(files)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := range got.Devices {
			if got.Devices[i].Is("journal") {
				got.Devices[i].Offset = 0 // is of no use
			}
		}
		if !reflect.DeepEqual(got, want.state) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want.state)
		}
		if e.Name != want.name || strings.Count(e.UUID, ":") != 3 {
			t.Errorf("%s: superblock %+v", name, e)
		}
	}
	if _, e := capture(t, "raid5"); e.DevName != "data" {
		t.Errorf("raid5 is known as %q", e.DevName)
	}
}

func TestReshapeIsSeen(t *testing.T) {
	files := fstest.MapFS{"level": {Data: []byte("raid5\n")}, "raid_disks": {Data: []byte("4 (3)\n")}, "layout": {Data: []byte("2 (2)\n")}, "reshape_position": {Data: []byte("2048\n")}}
	if s, err := ReadState(files); err != nil || !s.Reshaping || s.Slots != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := ReadState(fstest.MapFS{"chunk_size": {Data: []byte("many\n")}}); err == nil {
		t.Error("a number that is none was understood")
	}
}

func TestLayouts(t *testing.T) {
	for n, want := range map[int]string{0x102: "near=2", 0x201: "far=2", 0x10201: "offset=2", 0x202: "514"} {
		if got := layout("raid10", n); got != want {
			t.Errorf("raid10 %#x: %s, want %s", n, got, want)
		}
	}
	if layout("raid6", 18) != "left-symmetric-6" || layout("raid5", 18) != "18" || layout("raid1", 2) != "" {
		t.Error("layouts of parity")
	}
}

// The commands are of the kinds that were tried on a real mdadm; see the words
// in each.
func TestCreate(t *testing.T) {
	on := func(slots ...int) (m []machine.ArrayMember) {
		for _, s := range slots {
			m = append(m, machine.ArrayMember{Slot: s})
		}
		return m
	}
	const uuid = "88888888:aaaaaaaa:bbbbbbbb:00000000"
	tests := []struct {
		a    machine.Array
		want string
	}{
		{machine.Array{Level: "raid1", Metadata: "1.0", Slots: 2, Label: "box:esp", Component: 130944 << 10, Members: on(0, 1)},
			"--level=raid1 --metadata=1.0 --raid-devices=2 --uuid=" + uuid + " --homehost=box --name=esp --bitmap=none --size=130944K /dev/a /dev/b"},
		{machine.Array{Level: "raid1", Metadata: "1.2", Slots: 2, Label: "data", Bitmap: "internal", Offset: 4 << 20, Members: on(-1, 1, 0)},
			"--level=raid1 --metadata=1.2 --raid-devices=2 --spare-devices=1 --uuid=" + uuid + " '--homehost=<none>' --name=data --bitmap=internal --data-offset=4096K /dev/c /dev/b /dev/a"},
		{machine.Array{Level: "raid1", Metadata: "0.90", Slots: 2, Members: on(1)},
			"--level=raid1 --metadata=0.90 --raid-devices=2 --uuid=" + uuid + " --bitmap=none missing /dev/a"},
		// md rebuilds onto a spare at once.
		{machine.Array{Level: "raid5", Metadata: "1.2", Slots: 3, Label: "box:0", Members: on(0, 2, -1)},
			"--level=raid5 --metadata=1.2 --raid-devices=3 --uuid=" + uuid + " --homehost=box --name=0 --bitmap=none /dev/a /dev/c /dev/b"},
		{machine.Array{Level: "raid0", Metadata: "1.2", Slots: 2, Label: "box:0", Chunk: 64 << 10, Offset: 1 << 20, Members: on(0, 1)},
			"--level=raid0 --metadata=1.2 --raid-devices=2 --uuid=" + uuid + " --homehost=box --name=0 --chunk=64K --data-offset=1024K /dev/a /dev/b"},
		{machine.Array{Level: "raid10", Metadata: "1.2", Slots: 2, Label: "box:0", Chunk: 64 << 10, Layout: "far=2", Members: on(0, 1)},
			"--level=raid10 --metadata=1.2 --raid-devices=2 --uuid=" + uuid + " --homehost=box --name=0 --chunk=64K --layout=f2 --bitmap=none /dev/a /dev/b"},
		{machine.Array{Level: "raid5", Metadata: "1.2", Slots: 3, Label: "box:0", Chunk: 64 << 10, Layout: "left-asymmetric", Policy: "ppl", Members: on(0, 1, 2)},
			"--level=raid5 --metadata=1.2 --raid-devices=3 --uuid=" + uuid + " --homehost=box --name=0 --chunk=64K --layout=left-asymmetric --consistency-policy=ppl /dev/a /dev/b /dev/c"},
	}
	for _, tt := range tests {
		r := &system.Recorder{}
		tt.a.UUID = uuid
		if err := Create(t.Context(), r, tt.a, "/dev/md0", []string{"/dev/a", "/dev/b", "/dev/c"}[:len(tt.a.Members)]); err != nil {
			t.Fatal(err)
		}
		if got, want := r.Commands()[0], "mdadm --create /dev/md0 --run --force "+tt.want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	// md does not start a raid6 without parity in sync and with a member missing.
	six := machine.Array{Level: "raid6", Metadata: "0.90", Slots: 4, UUID: uuid, Members: on(0, 1, 3)}
	for want, members := range map[string][]machine.ArrayMember{
		"mdadm --create /dev/md0 --run --level=raid6 ":         on(0, 1, 3),
		"mdadm --create /dev/md0 --run --force --level=raid6 ": on(0, 1),
	} {
		r := &system.Recorder{}
		six.Members = members
		if err := Create(t.Context(), r, six, "/dev/md0", []string{"/dev/a", "/dev/b", "/dev/c"}[:len(members)]); err != nil || !strings.HasPrefix(r.Commands()[0], want) {
			t.Errorf("%v, %q, want %s", err, r.Commands(), want)
		}
	}
	if err := Create(t.Context(), &system.Recorder{}, machine.Array{Members: on(0)}, "/dev/md0", nil); err == nil {
		t.Error("an array without devices was made")
	}
}
