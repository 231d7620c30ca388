package identity

import (
	"slices"
	"strings"
	"testing"
)

var movedForTest = []Moved{
	{Was: []string{"/dev/md0", "/dev/md/root", "/dev/disk/by-id/md-name-web:root"}, UUID: "u-0"},
	{Was: []string{"/dev/md1"}, UUID: "u-1"},
	{Was: []string{"/dev/sda2", "PARTUUID=AB-02", "PARTLABEL=my root"}, UUID: "u-2"},
	{Was: []string{"/dev/md5"}},
}

func TestMoves(t *testing.T) {
	for in, want := range map[string]string{
		"/dev/md0 / ext4 defaults 0 1\n":                            "/dev/disk/by-uuid/u-0 / ext4 defaults 0 1\n",
		"/dev/md/root\t/\text4":                                     "/dev/disk/by-uuid/u-0\t/\text4",
		"RESUME=/dev/md1":                                           "RESUME=/dev/disk/by-uuid/u-1",
		`GRUB_CMDLINE_LINUX="root=/dev/md0 resume=/dev/md1"`:        `GRUB_CMDLINE_LINUX="root=/dev/disk/by-uuid/u-0 resume=/dev/disk/by-uuid/u-1"`,
		"c /dev/disk/by-id/md-name-web:root none luks":              "c /dev/disk/by-uuid/u-0 none luks",
		"PARTUUID=ab-02 / ext4\nPARTUUID=\"AB-02\" /x":              "UUID=u-2 / ext4\nUUID=u-2 /x",
		"PARTUUID=ab-022 /dev/md10 /dev/md0p1 /dev/sda21 /dev/md/r": "PARTUUID=ab-022 /dev/md10 /dev/md0p1 /dev/sda21 /dev/md/r",
		`PARTLABEL="my root" / ext4`:                                `UUID=u-2 / ext4`,
		"# /dev/md0 was here\nUUID=u-0 / ext4 # /dev/mapper/md0":    "# /dev/md0 was here\nUUID=u-0 / ext4 # /dev/mapper/md0",
		"/dev/md5 none swap":                                        "/dev/md5 none swap",
		"linux /vmlinuz root=PARTUUID=AB-02 ro":                     "linux /vmlinuz root=UUID=u-2 ro",
	} {
		got, names, left := Moves([]byte(in), movedForTest)
		if string(got) != want || (len(names) > 0) != (in != want) || (len(left) > 0) != strings.Contains(in, "md5") {
			t.Errorf("%q: got %q (%q, %q), want %q", in, got, names, left, want)
		}
		if again, _, _ := Moves(got, movedForTest); string(again) != want {
			t.Errorf("%q: a second time it becomes %q", in, again)
		}
	}
}

func FuzzMoves(f *testing.F) {
	f.Add([]byte("/dev/md0 / ext4\nPARTUUID=\"ab-02\"\n# /dev/md1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, names, _ := Moves(in, movedForTest)
		if (string(out) != string(in)) != (len(names) > 0) {
			t.Fatalf("said was %q, and %q became %q", names, in, out)
		}
		if again, more, _ := Moves(out, movedForTest); string(again) != string(out) || len(more) > 0 {
			t.Fatalf("once %q, twice %q", out, again)
		}
		if strings.Count(string(out), "\n") != strings.Count(string(in), "\n") {
			t.Fatalf("lines are lost: %q became %q", in, out)
		}
	})
}

const mdadmConf = `# mdadm.conf
HOMEHOST <system>
MAILADDR root
ARRAY /dev/md/esp metadata=1.0 UUID=88888888:aaaaaaaa:bbbbbbbb:00000000 name=web:esp
ARRAY /dev/md/boot metadata=1.2
   UUID=88888888:AAAAAAAA:bbbbbbbb:00000001
	name=web:boot
ARRAY /dev/md9 UUID=99999999:99999999:99999999:99999999
array md3 super-minor=3

ARRAY <ignore> UUID=1:2:3:4
`

var formerForTest = []FormerArray{
	{UUID: "88888888:aaaaaaaa:bbbbbbbb:00000001", Names: []string{"/dev/md1", "/dev/md/boot"}},
	{UUID: "33333333:33333333:33333333:33333333", Names: []string{"/dev/md3"}},
	{UUID: "77777777:33333333:33333333:33333333", Names: []string{"/dev/md9"}}, // another one has that name now
}

func TestNoArrays(t *testing.T) {
	out, said := NoArrays([]byte(mdadmConf), formerForTest, "t")
	want := strings.NewReplacer(
		"ARRAY /dev/md/boot metadata=1.2\n   UUID", "# t: /dev/md/boot was flattened by the restore: what it held is on a plain device\n#ARRAY /dev/md/boot metadata=1.2\n#   UUID",
		"\tname=web:boot", "#\tname=web:boot", "array md3", "# t: md3 was flattened by the restore: what it held is on a plain device\n#array md3").Replace(mdadmConf)
	if string(out) != want || len(said) != 2 {
		t.Errorf("said %q, got\n%s", said, out)
	}
	if again, more := NoArrays(out, formerForTest, "t"); string(again) != want || len(more) > 0 {
		t.Errorf("a second time it becomes\n%s", again)
	}
}

func FuzzNoArrays(f *testing.F) {
	f.Add([]byte(mdadmConf))
	f.Add([]byte("ARR /dev/md1\n #x\n y\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, said := NoArrays(in, formerForTest, "t")
		var back []string
		for line := range strings.SplitSeq(string(out), "\n") {
			if len(said) > 0 && strings.HasPrefix(line, "# t: ") && strings.HasSuffix(line, "is on a plain device") {
				continue
			}
			back = append(back, line)
		}
		// No byte is lost but the marks of comments.
		strip := func(s string) string { return strings.ReplaceAll(s, "#", "") }
		if !strings.Contains(string(in), "plain device") && strip(strings.Join(back, "\n")) != strip(string(in)) {
			t.Fatalf("%q became %q", in, out)
		}
		if again, more := NoArrays(out, formerForTest, "t"); string(again) != string(out) || len(more) > 0 {
			t.Fatalf("once %q, twice %q", out, again)
		}
	})
}

func TestAddArrays(t *testing.T) {
	arrays := []ConfArray{{"/dev/md0", "1.0", "1:2:3:4", "web:0"}, {"/dev/md1", "1.2", "99999999:99999999:99999999:99999999", ""}}
	out, said := AddArrays([]byte("HOMEHOST <system>"), arrays, "t")
	const want = "HOMEHOST <system>\n# t: arrays that the restore made\nARRAY /dev/md0 metadata=1.0 UUID=1:2:3:4 name=web:0\nARRAY /dev/md1 metadata=1.2 UUID=99999999:99999999:99999999:99999999\n"
	if string(out) != want || !slices.Equal(said, []string{"/dev/md0 added", "/dev/md1 added"}) {
		t.Errorf("said %q, got\n%s", said, out)
	}
	if again, more := AddArrays(out, arrays, "t"); string(again) != want || len(more) > 0 {
		t.Errorf("a second time it becomes\n%s", again)
	}
}
