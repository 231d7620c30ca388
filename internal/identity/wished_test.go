package identity

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const fstab = `# /etc/fstab
UUID=1 /               ext4    errors=remount-ro 0       1
LABEL=scratch	/scratch	ext4	defaults,data=writeback,noatime	0	2
UUID=3 /data xfs rw,logbufs=8,x-systemd.automount 0 0
/scratch/img /srv/img ext4 loop 0 0
/scratch/export /srv/export none bind 0 0
UUID=5 none swap sw 0 0
/swapfile swap swap defaults 0 0
/dev/mapper/safe /safe ext4 defaults 0 2
UUID=7 /with\040space ext4 defaults 0 2`

func TestFstab(t *testing.T) {
	for _, tt := range []struct {
		name string
		w    Wished
		want []string // replaces the line that ends in the text before "=>"
		said int
	}{
		{"nothing", Wished{}, nil, 0},
		{"left out, with what lies on it", Wished{LeftOut: []string{"/scratch"}}, []string{
			"0\t2=>=>LABEL=scratch\t/scratch\text4\tdefaults,data=writeback,noatime\t0\t2",
			"=>/scratch/img /srv/img ext4 loop 0 0", "=>/scratch/export /srv/export none bind 0 0"}, 3},
		{"no swap", Wished{NoSwap: true}, []string{"=>UUID=5 none swap sw 0 0", "=>/swapfile swap swap defaults 0 0"}, 2},
		{"no encrypted device", Wished{Crypts: []string{"safe"}}, []string{"=>/dev/mapper/safe /safe ext4 defaults 0 2"}, 1},
		{"white space", Wished{LeftOut: []string{"/with space"}}, []string{`=>UUID=7 /with\040space ext4 defaults 0 2`}, 1},
	} {
		tt.w.Tool = "mkcdrec"
		out, what := tt.w.Fstab([]byte(fstab))
		got := string(out)
		for _, l := range tt.want {
			line := l[strings.LastIndex(l, "=>")+2:]
			at := strings.Index(got, "\n#"+line)
			if at < 0 || !strings.HasPrefix(got[strings.LastIndex(got[:at], "\n")+1:], "# mkcdrec: ") {
				t.Errorf("%s: %q is not commented out with a word why:\n%s", tt.name, line, got)
			}
		}
		if changed := strings.Count(got, "\n") - strings.Count(fstab, "\n"); changed != len(tt.want) || len(what) != tt.said {
			t.Errorf("%s: %d lines were commented out, and said was %q", tt.name, changed, what)
		}
		if again, more := tt.w.Fstab(out); string(again) != got || len(more) > 0 {
			t.Errorf("%s: carried out again it changes more", tt.name)
		}
	}
}

func TestFstabOfAnotherKind(t *testing.T) {
	w := Wished{Kinds: []Kind{{Mount: "/scratch", From: "ext4", To: "xfs", Label: "scratch", UUID: "u-2"}, {Mount: "/data", From: "xfs", To: "btrfs"}}}
	out, what := w.Fstab([]byte(fstab))
	want := strings.NewReplacer("LABEL=scratch\t/scratch\text4\tdefaults,data=writeback,noatime\t0\t2", "UUID=u-2\t/scratch\txfs\tdefaults,noatime\t0\t0",
		"UUID=3 /data xfs rw,logbufs=8,x-systemd.automount 0 0", "UUID=3 /data btrfs rw,x-systemd.automount 0 0").Replace(fstab)
	if string(out) != want {
		t.Errorf("got\n%s", out)
	}
	if s := strings.Join(what, "\n"); s != "line of /scratch: ext4 became xfs, its label the UUID, without data=writeback\nline of /data: xfs became btrfs, without logbufs=8" {
		t.Errorf("said %q", s)
	}
	if !HasMount([]byte(fstab), "/with space") || HasMount([]byte(fstab), "/nowhere") {
		t.Error("mount points are not found")
	}
}

func TestCrypttab(t *testing.T) {
	in := "safe UUID=1 none luks\nroot UUID=2 none luks\ncswap /dev/vda3 /dev/urandom swap,cipher=aes\n"
	out, what := Wished{Tool: "t", Crypts: []string{"safe"}, NoSwap: true}.Crypttab([]byte(in))
	want := "# t: the restore did not make safe\n#safe UUID=1 none luks\nroot UUID=2 none luks\n# t: the restore made no swap\n#cswap /dev/vda3 /dev/urandom swap,cipher=aes\n"
	if string(out) != want || len(what) != 2 {
		t.Errorf("got %q, said %q", out, what)
	}
}

func TestNoResume(t *testing.T) {
	for in, want := range map[string]string{
		`GRUB_CMDLINE_LINUX_DEFAULT="quiet resume=UUID=ab-c"`:          `GRUB_CMDLINE_LINUX_DEFAULT="quiet"`,
		`GRUB_CMDLINE_LINUX="resume=/dev/sda2 resume_offset=34816 ro"`: `GRUB_CMDLINE_LINUX="ro"`,
		`GRUB_CMDLINE_LINUX='resume=/dev/mapper/vg0-swap'`:             `GRUB_CMDLINE_LINUX=''`,
		"\tlinux /vmlinuz root=UUID=1 ro resume=UUID=2 quiet\n\tx":     "\tlinux /vmlinuz root=UUID=1 ro quiet\n\tx",
		`# resume=UUID=2 was here`:                                     `# resume=UUID=2 was here`,
		`options root=UUID=1 noresume hibernate.resume=x`:              `options root=UUID=1 noresume hibernate.resume=x`,
	} {
		if got := string(NoResume([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := string(InitramfsResume([]byte("# c\nRESUME=UUID=ab\n"))); got != "# c\n#RESUME=UUID=ab\nRESUME=none\n" {
		t.Errorf("got %q", got)
	}
	if got := string(InitramfsResume([]byte("RESUME=none\n"))); got != "RESUME=none\n" {
		t.Errorf("got %q", got)
	}
}

// Whatever is wished, no byte of a file is lost but what was said.
func TestFstabKeepsWhatItDoesNotKnow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`([ \t]?[a-z/#=,]{0,6}[ \t\n]){0,30}`).Draw(t, "file")
		w := Wished{Tool: "t", LeftOut: []string{"/a"}, Crypts: []string{"a"}, NoSwap: true}
		out, _ := w.Fstab([]byte(in))
		var back []string
		lines := strings.Split(string(out), "\n")
		for i := 0; i < len(lines); i++ {
			if strings.HasPrefix(lines[i], "# t: ") {
				i++
				lines[i] = lines[i][1:]
			}
			back = append(back, lines[i])
		}
		if got := strings.Join(back, "\n"); got != in {
			t.Fatalf("%q came back as %q", in, got)
		}
	})
}
