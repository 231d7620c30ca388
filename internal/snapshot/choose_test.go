package snapshot

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
)

// server has everything that is decided about.
func server() (*machine.Machine, lvm.Report) {
	m := &machine.Machine{
		MachineID: "0123",
		Disks: []machine.Disk{{Name: "vda", Path: "/dev/vda", LogicalSector: 512, Table: &machine.PartitionTable{Kind: machine.GPT, Partitions: []machine.Partition{
			{Number: 1, Path: "/dev/vda1", Type: machine.TypeESP}, {Number: 2, Path: "/dev/vda2"}, {Number: 3, Path: "/dev/vda3"}, {Number: 4, Path: "/dev/vda4"}}}}},
		VolumeGroups: []machine.VolumeGroup{{Name: "vg-0", ExtentSize: 4 << 20, Logical: []machine.LogicalVolume{{Name: "root", Size: 30 << 30}, {Name: "home", Size: 10 << 30}, {Name: "thin", Size: 1 << 30}}}},
		FileSystems: []machine.FileSystem{{On: "lv:vg-0/root", Kind: "ext4", Used: 10 << 30}, {On: "lv:vg-0/home", Kind: "xfs"}, {On: "lv:vg-0/thin", Kind: "ext4"},
			{On: "part:vda/1", Kind: "vfat"}, {On: "part:vda/2", Kind: "ext4"}, {On: "part:vda/3", Kind: "btrfs"}, {On: "part:vda/4", Kind: "xfs"}},
	}
	for _, at := range []string{"lv:vg-0/root /", "part:vda/2 /boot", "part:vda/1 /boot/efi", "lv:vg-0/home /home", "part:vda/4 /ro", "part:vda/3 /srv", "lv:vg-0/thin /thin"} {
		on, target, _ := strings.Cut(at, " ")
		mt := machine.Mount{On: machine.Ref(on), Target: target, Options: "rw,relatime"}
		if target == "/ro" {
			mt.Options = "ro,relatime"
		}
		m.Mounts = append(m.Mounts, mt)
	}
	return m, lvm.Report{
		Physical: []lvm.Physical{{Group: "vg-0", Free: 3 << 30}, {Group: "vg-0", Free: 1 << 30}, {Group: "other", Free: 1 << 40}},
		Segments: []lvm.Segment{{Group: "vg-0", Volume: "root", Type: "linear"}, {Group: "vg-0", Volume: "root", Type: "striped"}, {Group: "vg-0", Volume: "home", Type: "raid1"}, {Group: "vg-0", Volume: "thin", Type: "thin"}},
	}
}

func said(p *Plan) string {
	var out []string
	for _, c := range p.Choices {
		s := c.Mount + " " + string(c.Method)
		if c.Size > 0 {
			s += fmt.Sprintf(" %dM", c.Size>>20)
		}
		if c.Why != "" {
			s += ": " + c.Why
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

func TestChoose(t *testing.T) {
	const usual = "/ lvm-snapshot 3072M\n/boot live: ext4 on a device without snapshots\n/boot/efi live: FAT has no snapshots; only updates of the boot loader write to it\n" +
		"/home lvm-snapshot 1024M\n/ro live: mounted read-only\n/srv btrfs-snapshot\n/thin lvm-thin-snapshot"
	for _, c := range []struct {
		name   string
		change func(*machine.Machine, *lvm.Report, *Wishes)
		want   string // the plan has these lines
		err    string
		kind   fail.Kind
	}{
		{name: "auto", want: usual},
		{name: "off", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) { w.Mode = Off }, want: "/srv live: snapshots are off"},
		{name: "require", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) { w.Mode = Require },
			err: "there can be none of /boot (ext4 on a device without snapshots)", kind: fail.Refused},
		{name: "require, frozen", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) { w.Mode, w.Freeze = Require, []string{"/boot/"} }, want: "/boot frozen"},
		{name: "frozen needlessly", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) { w.Freeze = []string{"/home", "/ro"} }, want: usual},
		{name: "busy", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) {
			w.Freeze, w.Busy = []string{"/boot"}, func(string) string { return "the log is on it" }
		}, err: "cannot freeze /boot while it is read: the log is on it", kind: fail.Refused},
		{name: "root", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) { w.Mode, w.Freeze = Off, []string{"/"} }, err: "cannot freeze / while", kind: fail.Refused},
		{name: "no mount", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) { w.Freeze = []string{"/boot/x"} }, err: "it is no mount point", kind: fail.Usage},
		{name: "FAT", change: func(m *machine.Machine, _ *lvm.Report, w *Wishes) {
			m.Disks[0].Table.Partitions[0].Type, w.Freeze = "", []string{"/boot/efi"}
		}, err: "only ext and xfs", kind: fail.Usage},
		{name: "little free", change: func(_ *machine.Machine, r *lvm.Report, _ *Wishes) {
			r.Physical = []lvm.Physical{{Group: "vg-0", Free: 260 << 20}}
		},
			want: "/ live: volume group vg-0 has 192 MiB free for its snapshot, which takes 205 MiB or more\n/boot live"},
		{name: "much free", change: func(_ *machine.Machine, r *lvm.Report, _ *Wishes) { r.Physical[0].Free = 1 << 45 }, want: "/ lvm-snapshot 31396M\n"},
		{name: "cached", change: func(_ *machine.Machine, r *lvm.Report, _ *Wishes) {
			r.Segments[2].Type, r.Segments[2].Origin = "cache", "home_corig"
		}, want: "/home lvm-snapshot 1024M\n"},
		{name: "vdo", change: func(_ *machine.Machine, r *lvm.Report, _ *Wishes) { r.Segments[2].Type = "vdo" }, want: "/home live: no snapshot can be taken of a logical volume of kind vdo\n"},
		{name: "left out", change: func(_ *machine.Machine, _ *lvm.Report, w *Wishes) {
			w.Skip = func(p string) bool { return p == "/home" }
		}, want: "/ lvm-snapshot 4096M\n"},
	} {
		m, rep := server()
		w := Wishes{Mode: Auto}
		if c.change != nil {
			c.change(m, &rep, &w)
		}
		p, err := Choose(m, rep, w)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || fail.KindOf(err) != c.kind {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !strings.Contains(said(p)+"\n", c.want):
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, said(p), c.want)
		}
	}
}

// lvs is what it says of these volumes: name, origin, pool, tag, open, fill, invalid.
func lvs(volumes ...[7]string) system.Answer {
	var rows []string
	for _, v := range volumes {
		rows = append(rows, fmt.Sprintf(`{"lv_name":%q,"vg_name":"vg-0","origin":%q,"pool_lv":%q,"lv_tags":%q,"lv_device_open":%q,"data_percent":%q,"lv_snapshot_invalid":%q}`,
			v[0], v[1], v[2], v[3], v[4], v[5], v[6]))
	}
	return system.Answer{Stdout: `{"report":[{"lv":[` + strings.Join(rows, ",") + `]}]}`}
}

func changing(r *system.Recorder) string {
	var out []string
	for _, c := range r.Commands() {
		if !strings.HasPrefix(c, "lvm ") && !strings.HasPrefix(c, "umount") {
			out = append(out, c)
		}
	}
	return strings.Join(out, "\n")
}

func TestTakeOnLVM(t *testing.T) {
	m, rep := server()
	p, err := Choose(m, rep, Wishes{Mode: Auto, Skip: func(p string) bool { return p == "/srv" }})
	if err != nil {
		t.Fatal(err)
	}
	const ours = "mkcdrec-snapshot-of=0123"
	r := &system.Recorder{Answers: map[string]system.Answer{"lvm lvs*": lvs(
		[7]string{"mkcdrec_ID_0", "root", "", ours, "open", "1.00", ""}, [7]string{"mkcdrec_ID_2", "thin", "pool", ours, "open", "3.00", "unknown"},
		[7]string{"pool", "", "", "", "", "99.00", "unknown"}, [7]string{"mkcdrec_other_0", "root", "", ours, "", "1.00", ""}, [7]string{"mkcdrec_ID_1", "home", "", "mine", "", "1.00", ""})}}
	r.Answers["lvcreate -y --autobackup n --snapshot -n mkcdrec_ID_1*"] = system.Answer{ExitCode: 5, Stderr: "no"}
	s, err := Take(t.Context(), p, Options{ID: "ID", MachineID: "0123", Runner: r, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if len(s.Dirs) != 2 || len(s.At) != 2 || strings.Join(s.Failed, " ") != "/home" || s.Choices[3].Method != Live {
		t.Errorf("%d dirs, at %v, failed %v", len(s.Dirs), s.At, s.Failed)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	want := []string{
		"lvcreate -y --autobackup n --snapshot -n mkcdrec_ID_0 --addtag " + ours + " -L 3221225472b vg-0/root",
		"mount -t ext4 -o ro,noatime,nodev,nosuid,noexec /dev/mapper/vg--0-mkcdrec_ID_0 ",
		"lvcreate -y --autobackup n --snapshot -n mkcdrec_ID_1 --addtag " + ours + " -L 1073741824b vg-0/home",
		"lvcreate -y --autobackup n --snapshot -n mkcdrec_ID_2 --addtag " + ours + " --setactivationskip n --activate y vg-0/thin",
		"mount -t ext4 -o ro,noatime,nodev,nosuid,noexec /dev/mapper/vg--0-mkcdrec_ID_2 ",
		"lvremove -y --autobackup n vg-0/mkcdrec_ID_0", "lvremove -y --autobackup n vg-0/mkcdrec_ID_2",
	}
	got := strings.Split(changing(r), "\n")
	for i, w := range want {
		if len(got) != len(want) || !strings.HasPrefix(got[i], w) {
			t.Fatalf("ran:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	p.Require = true
	s, err = Take(t.Context(), p, Options{ID: "ID", MachineID: "0123", Runner: r, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "no backup without snapshots") {
		t.Errorf("required: %v", err)
	}
	_ = s.Remove(t.Context())
}

// A full snapshot, or pool, ends the watch with what went wrong.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		volumes [][7]string
		says    string
	}{
		{[][7]string{{"s", "root", "", "", "", "100.00", "snapshot invalid"}}, "the snapshot of / ran full"},
		{[][7]string{{"s", "root", "", "", "", "", "snapshot invalid"}}, "the snapshot of / ran full"},
		{[][7]string{{"s", "thin", "pool", "", "", "3.00", "unknown"}, {"pool", "", "", "", "", "100.00", "unknown"}}, "the thin pool vg-0/pool is full"},
	} {
		s := &Set{opt: Options{Runner: &system.Recorder{Answers: map[string]system.Answer{"lvm lvs*": lvs(c.volumes...)}}},
			volumes: []volume{{group: "vg-0", name: "s", mount: "/"}}, At: map[string]time.Time{"/": time.Unix(1, 0)}}
		tick := make(chan time.Time, 1)
		tick <- time.Time{}
		var got error
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		s.Watch(ctx, tick, func(err error) { got = err })
		cancel()
		if got == nil || !strings.Contains(got.Error(), c.says) {
			t.Errorf("got %v, want %s", got, c.says)
		}
	}
}

// Of dead runs of this machine, and of nobody else.
func TestSweepOfLVM(t *testing.T) {
	m, _ := server()
	m.Mounts = nil
	const ours = "mkcdrec-snapshot-of=0123"
	r := &system.Recorder{Answers: map[string]system.Answer{"lvm lvs*": lvs(
		[7]string{"mkcdrec_dead_0", "root", "", "x," + ours, "", "1.00", ""}, [7]string{"mkcdrec_alive_0", "root", "", ours, "open", "1.00", ""},
		[7]string{"mkcdrec_other_0", "root", "", "mkcdrec-snapshot-of=9999", "", "1.00", ""}, [7]string{"mkcdrec_mine", "root", "", "", "", "1.00", ""},
		[7]string{"mine", "root", "", ours, "", "1.00", ""}, [7]string{"mkcdrec_data", "", "", ours, "", "1.00", ""})}}
	left := Sweep(t.Context(), m, Options{MachineID: "0123", Runner: r, Dir: t.TempDir()})
	if got := changing(r); got != "lvremove -y --autobackup n vg-0/mkcdrec_dead_0" || len(left) != 2 || left[1].Kept == nil {
		t.Errorf("ran %s; %v", got, left)
	}
	if left := Sweep(t.Context(), m, Options{Runner: r, Dir: t.TempDir()}); len(left) > 0 {
		t.Errorf("a machine without an ID: %v", left)
	}
}
