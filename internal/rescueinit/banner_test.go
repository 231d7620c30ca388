package rescueinit

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

var update = flag.Bool("update", false, "write the golden files anew")

func bannerStatus() status {
	made := time.Date(2026, 11, 20, 15, 4, 0, 0, time.UTC)
	return status{
		Identity: rescue.Identity{Made: made, Host: "web01.example.org", OS: "Debian GNU/Linux 12 (bookworm)", MediumID: "1a2b3c4d"},
		Medium:   "MKCDREC_1A2B3C4D on /dev/sr0", Backup: true,
		Disks:   []string{"nvme0n1 512 GB", "sda 2.0 TB"},
		Network: []string{"eth0 192.0.2.10/24 (as recorded for eth0)"},
		SSH:     "ssh root@192.0.2.10", HostKey: "SHA256:TcdQBY/39hUG0/MXQEcGxjBwgJ0u9Tj8NKmNWXfhqEU",
		MemTotal: 455 << 20, MemFree: 371 << 20, Now: made.Add(80 * time.Hour),
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

func TestBanner(t *testing.T) {
	bare := status{IdentityErr: "this rescue system does not know whose it is: open /etc/mkcdrec/rescue.json: no such file or directory",
		MediumNote: "not found yet; it is mounted at /run/mkcdrec/medium as soon as it appears", Problems: []string{"kernel argument mkcdrec.atuo is not known"}}
	many := bannerStatus()
	many.Backup, many.Identity.BackupURL = false, "file:///mnt/nas/backups"
	many.Disks = []string{"sda 2.0 TB", "sdb 2.0 TB", "sdc 2.0 TB", "sdd 2.0 TB", "sde 2.0 TB", "sdf 2.0 TB"}
	many.SSH, many.SSHNote = "", "not started: there is no sshd on board"
	many.Identity.Settings.ConsoleLogin = true
	tests := []struct {
		name    string
		status  status
		console string
	}{
		{"full", bannerStatus(), "tty1"}, {"serial", bannerStatus(), "ttyS0"}, {"bare", bare, "ttyS0"}, {"many", many, "tty1"},
	}
	for _, tt := range tests {
		got := banner(tt.status, paintFor(tt.console), time.UTC)
		golden := "testdata/banner-" + tt.name + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal([]byte(got), want) {
			t.Errorf("%s: the banner is not as in %s (-update writes it):\n%s", tt.name, golden, got)
		}
		lines := strings.Split(colours.ReplaceAllString(got, ""), "\n")
		for _, l := range lines {
			if utf8.RuneCountInString(l) >= bannerWidth {
				t.Errorf("%s: wider than a console: %q", tt.name, l)
			}
		}
		if len(lines) > 24 {
			t.Errorf("%s: %d lines do not fit a console of 25 with its prompt", tt.name, len(lines))
		}
		if isASCII := strings.IndexFunc(got, func(r rune) bool { return r > 126 }) < 0; tt.console == "ttyS0" && !isASCII {
			t.Errorf("%s: other than ASCII on a serial line", tt.name)
		}
	}
}

func TestDiskNames(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	sys := fstest.MapFS{
		"sda/device/x": file(""), "sda/size": file("3907029168\n"),
		"nvme0n1/device/x": file(""), "nvme0n1/size": file("1000215216\n"),
		"sdb/device/x": file(""), "sdb/size": file("0\n"), // a card reader without a card
		"sr0/device/x": file(""), "sr0/size": file("600000\n"),
		"loop0/size": file("2048\n"), "dm-0/size": file("2048\n"),
	}
	if got, want := strings.Join(diskNames(sys), ", "), "nvme0n1 512 GB, sda 2.0 TB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A backup of some paths restores no machine, and the banner offers none.
func TestBannerOfPartialBackup(t *testing.T) {
	s := bannerStatus()
	s.Identity.Only = []string{"/etc", "/srv"}
	got := colours.ReplaceAllString(banner(s, paintFor("tty1"), time.UTC), "")
	if strings.Contains(got, "mkcdrec restore") || !strings.Contains(got, "has only /etc, /srv") || !strings.Contains(got, "mkcdrec extract") {
		t.Error(got)
	}
	for _, l := range strings.Split(got, "\n") {
		if utf8.RuneCountInString(l) > bannerWidth {
			t.Errorf("%q is wider than the screen", l)
		}
	}
	s.Backup, s.Identity.BackupURL = false, "file:///mnt"
	if got := banner(s, paintFor("tty1"), time.UTC); !strings.Contains(got, "the backup at file:///mnt has only") {
		t.Error(got)
	}
}
