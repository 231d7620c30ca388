package diskimage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
)

// tree makes files below a directory, by their names.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(to, p)
		} else {
			err = os.WriteFile(p, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// sysfs has an image loop3 with a partition, an array and a mapped device on it,
// a mapped device on loop3 and vda, a foreign loop device, and this machine's vda.
func sysfs(t *testing.T) *Set {
	t.Helper()
	link := func(name string) string { return "-> ../../block/" + name }
	sys := tree(t, map[string]string{
		"block/loop3/loop/backing_file": "/srv/a.raw\n",
		"block/loop3/loop3p1/partition": "1\n",
		"block/loop4/loop/backing_file": "/srv/other.raw\n",
		"block/vda/vda1/partition":      "1\n",
		"block/md127/slaves/loop3p1":    "-> ../../loop3/loop3p1",
		"block/dm-0/slaves/md127":       "-> ../../md127",
		"block/dm-1/slaves/md127":       "-> ../../md127",
		"block/dm-1/slaves/vda1":        "-> ../../vda/vda1",
		"class/block/loop3":             link("loop3"),
		"class/block/loop3p1":           link("loop3/loop3p1"),
		"class/block/loop4":             link("loop4"),
		"class/block/vda":               link("vda"),
		"class/block/vda1":              link("vda/vda1"),
		"class/block/md127":             link("md127"),
		"class/block/dm-0":              link("dm-0"),
		"class/block/dm-1":              link("dm-1"),
	})
	return &Set{Root: "/var/tmp/x/root", run: &system.Recorder{}, sys: sys, owned: map[string]string{"loop3": "/srv/a.raw"},
		Files: []File{{Wanted: Wanted{File: "/srv/a.raw", Size: 1 << 30}, Disk: "loop3"}}}
}

// What does not stand on the images of this run is not ours.
func TestWhatStandsOnTheImages(t *testing.T) {
	s := sysfs(t)
	for name, ours := range map[string]bool{
		"loop3": true, "loop3p1": true, "md127": true, "dm-0": true,
		"dm-1": false, "vda": false, "vda1": false, "loop4": false, "sdz": false, "": false, "..": false,
	} {
		if err := s.standsOn(name, 0); (err == nil) != ours {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The loop device was detached, and shows somebody else's file now.
	if err := os.WriteFile(filepath.Join(s.sys, "block/loop3/loop/backing_file"), []byte("/home/mine.raw\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loop3", "loop3p1", "md127", "dm-0"} {
		if err := s.standsOn(name, 0); fail.KindOf(err) != fail.Refused {
			t.Errorf("%s after the device was taken: %v", name, err)
		}
	}
}

// Each tries to get past the guard with a device of this machine, or out of the
// restored system.
func TestProgramsAreConfined(t *testing.T) {
	testtree.NeedRoot(t)
	s := sysfs(t)
	dir := t.TempDir()
	node := filepath.Join(dir, "loop3") // a block device outside of /dev, under a name of ours
	if err := os.MkdirAll(filepath.Join(s.sys, "dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../block/loop4", filepath.Join(s.sys, "dev/block/7:4")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mknod(node, syscall.S_IFBLK|0o600, 7<<8|4); err != nil {
		t.Skipf("cannot make a device node: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(node, link); err != nil {
		t.Fatal(err)
	}
	root := s.Root
	for _, c := range []system.Command{
		{Name: "wipefs", Args: []string{"--all", "--force", node}},
		{Name: "wipefs", Args: []string{"--all", link}},
		{Name: "wipefs", Args: []string{filepath.Join(dir, "..", filepath.Base(dir), "loop3")}},
		{Name: "dd", Args: []string{"if=/dev/zero", "of=" + node}},
		{Name: "mke2fs", Args: []string{"-J", "size=4,device=" + node, "/dev/null"}},
		{Name: "mount", Args: []string{"-t", "ext4", node, root + "/"}},
		{Name: "mount", Args: []string{"-t", "ext4", "/dev/null", "/mnt"}},
		{Name: "mount", Args: []string{"-t", "ext4", "/dev/null", root + "/../../../../mnt"}},
		{Name: "mount", Args: []string{"-t", "ext4", "/dev/null", root + "x"}},
		{Name: "mount", Args: []string{"UUID=1234", root}},
		{Name: "umount", Args: []string{"--recursive", "/"}},
		{Name: "umount", Args: []string{"/var/tmp/x"}},
		{Name: "efibootmgr", Args: []string{"--create"}},
		{Name: "/usr/sbin/efibootmgr", Args: nil},
		{Name: "bootctl", Args: []string{"install"}},
		{Name: "grub-install", Args: []string{"--target=i386-pc", node}, Chroot: root},
		{Name: "grub-install", Args: []string{"--target=i386-pc", "/dev/null"}, Chroot: "/"},
	} {
		_, err := s.Confined().Run(context.Background(), c)
		if fail.KindOf(err) != fail.Refused {
			t.Errorf("%s: %v", system.Quote(c), err)
		}
	}
	ran := s.run.(*system.Recorder)
	if got := ran.Commands(); len(got) > 0 {
		t.Fatalf("were run: %q", got)
	}
	for _, c := range []system.Command{
		{Name: "mount", Args: []string{"--rbind", "--make-rslave", "/dev", root + "/dev"}},
		{Name: "umount", Args: []string{root + ".top"}},
		{Name: "dd", Args: []string{"if=/dev/zero", "of=" + filepath.Join(dir, "file")}},
		{Name: "vgcreate", Args: []string{"vg0"}},
		{Name: "mdadm", Args: []string{"--create", "/dev/md-not-there"}},
	} {
		if _, err := s.Confined().Run(context.Background(), c); err != nil {
			t.Errorf("%s: %v", system.Quote(c), err)
		}
	}
	found := ""
	for _, c := range ran.Commands() {
		if strings.HasPrefix(c, "vgcreate ") {
			found = c
		}
	}
	for _, want := range []string{`"a|^/dev/loop3(p[0-9]+)?$|"`, `"a|^/dev/md127(p[0-9]+)?$|"`, `"a|^/dev/dm-0(p[0-9]+)?$|"`, `"r|.*|"`, "backup=0"} {
		if !strings.Contains(found, want) {
			t.Errorf("lvm does not get %s: %s", want, found)
		}
	}
	for _, wrong := range []string{"loop4", "vda", "dm-1("} {
		if strings.Contains(found, wrong) {
			t.Errorf("lvm sees %s: %s", wrong, found)
		}
	}
}

func TestPathsWithinArguments(t *testing.T) {
	for arg, want := range map[string]string{
		"/dev/sda":                    "/dev/sda",
		"of=/dev/sda":                 "/dev/sda",
		"size=4,device=/dev/sda,x":    "/dev/sda",
		"/dev/disk/by-path/pci-0:1.2": "/dev/disk/by-path/pci-0:1.2",
		`filter=["a|/dev/sda|"]`:      "/dev/sda",
	} {
		found := false
		for _, p := range paths(arg) {
			found = found || p == want
		}
		if !found {
			t.Errorf("%s: %q", arg, paths(arg))
		}
	}
	if got := paths("a/dev/sda"); len(got) > 0 {
		t.Errorf("a relative path: %q", got)
	}
}

// What this machine uses cannot be in an image that it makes.
func TestClash(t *testing.T) {
	luks := machinetest.Get("luks-lvm")
	raid := machinetest.Get("raid1-lvm")
	subvols := machinetest.Get("btrfs-subvols")
	group := func(m machine.Machine) machine.VolumeGroup { return m.VolumeGroups[0] }
	btrfs := ""
	for _, f := range subvols.FileSystems {
		if f.Kind == "btrfs" {
			btrfs = f.UUID
		}
	}
	for _, tt := range []struct {
		what string
		m    machine.Machine
		used Names
		want string
	}{
		{"nothing", luks, Names{}, ""},
		{"others", luks, Names{Groups: []lvm.Group{{Name: "other", UUID: "x"}}, Mappers: []string{"other-root"}, Arrays: []Array{{Name: "md127", UUID: "a:b:c:d", Label: "h:x"}}, Btrfs: []string{"y"}}, ""},
		{"group", luks, Names{Groups: []lvm.Group{{Name: group(luks).Name}}}, "volume group " + group(luks).Name},
		{"renamed group", luks, Names{Groups: []lvm.Group{{Name: "here", UUID: group(luks).UUID}}}, "which is here"},
		{"physical volume", luks, Names{Physical: []string{group(luks).Physical[0].UUID}}, "physical volume"},
		{"volume's device", luks, Names{Mappers: []string{filepath.Base(machine.MapperPath(group(luks).Name, group(luks).Logical[0].Name))}}, "mapped device"},
		{"crypt's name", luks, Names{Mappers: []string{luks.Crypts[0].Name}}, "mapped device " + luks.Crypts[0].Name},
		{"crypt's UUID", luks, Names{Crypts: []string{strings.ReplaceAll(luks.Crypts[0].UUID, "-", "")}}, "encrypted device"},
		{"array's UUID", raid, Names{Arrays: []Array{{Name: "md9", UUID: strings.ToUpper(raid.Arrays[0].UUID)}}}, "(here md9)"},
		{"array's name", raid, Names{Arrays: []Array{{Name: "md9", Label: raid.Arrays[0].Label}}}, "(here md9)"},
		{"btrfs", subvols, Names{Btrfs: []string{strings.ToUpper(btrfs)}}, "btrfs"},
	} {
		err := Clash(tt.m, tt.used)
		if tt.want == "" && err != nil || tt.want != "" && (fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), tt.want) || fail.HintOf(err) == "") {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// What cannot be asked is refused, not taken for nothing.
func TestUsedFailsClosed(t *testing.T) {
	m := machinetest.Get("uefi-lvm")
	r := &system.Recorder{Answers: map[string]system.Answer{"lvm *": {ExitCode: 5}}}
	if _, err := Used(context.Background(), r, t.TempDir(), m); fail.KindOf(err) != fail.Unsupported {
		t.Errorf("lvm failed: %v", err)
	}
	sys := tree(t, map[string]string{"block/md5/md/level": "raid1\n", "block/dm-0/dm/name": "vault\n", "block/dm-0/dm/uuid": "CRYPT-LUKS2-0123-vault\n",
		"fs/btrfs/11111111-2222-3333-4444-555555555555/label": "", "fs/btrfs/features/x": ""})
	raid := machinetest.Get("raid1-lvm")
	empty := system.Answer{Stdout: `{"report":[{}]}`}
	r = &system.Recorder{Answers: map[string]system.Answer{"lvm *": empty, "mdadm *": {ExitCode: 1}}}
	if _, err := Used(context.Background(), r, sys, raid); fail.KindOf(err) != fail.Unsupported {
		t.Errorf("mdadm failed: %v", err)
	}
	r = &system.Recorder{Answers: map[string]system.Answer{"lvm *": empty, "mdadm *": {Stdout: "MD_UUID=a:b:c:d\nMD_NAME=h:root\n"}}}
	n, err := Used(context.Background(), r, sys, raid)
	if err != nil || len(n.Arrays) != 1 || n.Arrays[0] != (Array{"md5", "a:b:c:d", "h:root"}) || strings.Join(n.Mappers, " ") != "vault" ||
		strings.Join(n.Crypts, " ") != "0123" || strings.Join(n.Btrfs, " ") != "11111111-2222-3333-4444-555555555555" {
		t.Errorf("%+v, %v", n, err)
	}
}

// No image takes the place of anything.
func TestCheckRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.iso")
	if err := os.WriteFile(file, []byte("the backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	free, err := Free(dir)
	if err != nil {
		t.Fatal(err)
	}
	ok := filepath.Join(dir, "new.raw")
	for _, tt := range []struct {
		what    string
		files   []string
		content machine.Bytes
		fresh   bool
		kind    fail.Kind
	}{
		{"the backup", []string{file}, 0, false, fail.Refused},
		{"the backup, fresh", []string{file}, 0, true, fail.Refused},
		{"a link that leads nowhere", []string{filepath.Join(dir, "dangling")}, 0, true, fail.Refused},
		{"a directory", []string{dir}, 0, true, fail.Refused},
		{"a disk", []string{"/dev/vda"}, 0, true, fail.Refused},
		{"a disk that is not there", []string{"/dev/not-there"}, 0, false, fail.Refused},
		{"no directory", []string{filepath.Join(dir, "no/new.raw")}, 0, false, fail.Usage},
		{"twice", []string{ok, ok}, 0, false, fail.Usage},
		{"no room", []string{ok}, free, false, fail.Refused},
		{"good", []string{ok}, 1 << 20, false, 0},
	} {
		var list []Wanted
		for _, f := range tt.files {
			list = append(list, Wanted{File: f, Size: 1 << 30})
		}
		err := Check(list, tt.content, tt.fresh)
		if tt.kind == 0 && err != nil || tt.kind != 0 && (err == nil || fail.KindOf(err) != tt.kind) {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
	// Even if it appears between the check and the start.
	if _, err := Make(context.Background(), &system.Recorder{}, []Wanted{{File: file, Size: 1 << 20}}, dir, dir+"/root"); err == nil {
		t.Error("the backup was taken for an image")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "the backup" {
		t.Errorf("the backup is %q now (%v)", b, err)
	}
	// What a killed run has left is replaced only if that is wished.
	left := []Wanted{{File: file, Size: 1 << 20}}
	if err := os.WriteFile(JournalOf(file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(left, 0, false); fail.KindOf(err) != fail.Refused || !strings.Contains(fail.HintOf(err), "--fresh") {
		t.Errorf("left by a killed run: %v", err)
	}
	if err := Check(left, 0, true); err != nil {
		t.Errorf("left by a killed run, fresh: %v", err)
	}
	if err := Clear(left); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it was not removed")
	}
}

// On this kernel, as it is: what was made is gone again, the loop devices too.
func TestMakeAndClose(t *testing.T) {
	testtree.NeedRoot(t)
	testtree.Need(t, "losetup")
	dir := t.TempDir()
	file := filepath.Join(dir, "a.raw")
	ctx := context.Background()
	s, err := Make(ctx, &system.Host{}, []Wanted{{File: file, Size: 64 << 20}}, dir, dir+"/root")
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(file)
	if err != nil || fi.Size() != 64<<20 || fi.Mode().Perm() != 0o600 {
		t.Errorf("%+v, %v", fi, err)
	}
	disk := s.Files[0].Disk
	if _, err := s.Confined().Run(ctx, system.Command{Name: "blockdev", Args: []string{"--getsize64", "/dev/" + disk}}); err != nil {
		t.Errorf("our own device: %v", err)
	}
	other := strings.TrimSpace(testtree.Shell(t, `truncate -s 1M "$1"; losetup --find --show "$1"`, filepath.Join(dir, "other")))
	t.Cleanup(func() { testtree.Shell(t, `losetup --detach "$1"`, other) })
	if _, err := s.Confined().Run(ctx, system.Command{Name: "wipefs", Args: []string{"--all", other}}); fail.KindOf(err) != fail.Refused {
		t.Errorf("another loop device: %v", err)
	}
	m := machine.Disk{Name: disk, LogicalSector: 512}
	if err := s.MapPartitions(ctx, m, machine.PartitionTable{Partitions: []machine.Partition{
		{Number: 1, Start: 2048, Size: 2048, Type: "83"}, {Number: 2, Start: 4096, Size: 8192, Type: "5"}, {Number: 5, Start: 6144, Size: 2048, Type: "83"}}}); err != nil {
		t.Fatal(err)
	}
	if p := s.Partitions(disk); len(p) != 2 || p[1] == "" || p[5] == "" {
		t.Errorf("partitions %v", p)
	}
	if err := Check([]Wanted{{File: file, Size: 1}}, 0, true); fail.KindOf(err) != fail.Refused {
		t.Errorf("an image that is being made: %v", err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Owns(disk); err == nil {
		t.Error("a detached device is still ours")
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if left := testtree.Shell(t, `losetup --noheadings --output BACK-FILE`); strings.Contains(left, file) {
		t.Errorf("left attached: %s", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 { // other
		t.Errorf("left: %v", left)
	}
}
