package rescue

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// The rescue system knows its name, its users, its zone, its letters, its
// name servers and its manual; it says whose it is and what memory it needs.
func TestBuildIsAtHome(t *testing.T) {
	m := newFakeMachine(t)
	m.model.Network = machine.Network{DNS: []string{"192.0.2.53", "2001:db8::53"}, Search: []string{"example.org", "example.net"}}
	m.file("/etc/passwd", "root:x:0:0:root:/root:/bin/zsh\nuser:x:1000:1000::/home/user:/bin/sh\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\n")
	m.file("/etc/group", "root:x:0:\ndisk:x:6:user\nuser:x:1000:\n")
	m.file("/etc/shadow", "root:$6$secret$hash:19000:0:99999:7:::\n")
	m.file("/usr/share/zoneinfo/Europe/Berlin", "TZif2 Berlin")
	m.link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin")
	m.file("/usr/lib/locale/C.utf8/LC_CTYPE", "letters")
	m.file("/etc/default/locale", "LANG=de_DE.UTF-8\n")
	m.file("/etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n")
	m.file("/etc/hosts", "192.0.2.1 nas\n")
	m.file("/usr/share/man/man8/mount.8", ".TH MOUNT 8\n")
	m.file("/usr/share/man/man1/grep.1", ".so man1/real.1\n")
	m.file("/usr/share/man/man1/real.1", ".TH GREP 1\n")
	m.file("/usr/share/man/man5/fstab.5", ".TH FSTAB 5\n")
	m.file("/usr/share/man/man1/stranger.1", ".TH STRANGER 1\n")
	m.file("/usr/share/man/man7/asked.7", ".TH ASKED 7\n")
	o := m.options()
	o.ManualPages = []string{"asked.7", "absent.8"}
	m.file("/usr/share/man/man8/mkcdrec.8", "of an older version")
	o.OwnPages = func(made time.Time) ([]Page, error) {
		return []Page{{Name: "mkcdrec.8", Text: []byte(made.Format(".TH MKCDREC 8 2006\n"))}}, nil
	}
	o.Identity = Identity{Version: 1, MediumID: "01234567", Host: "fake", Made: time.Unix(1_600_000_000, 0).UTC()}
	r := m.mustBuild(o)

	content := func(p string) string {
		t.Helper()
		f := r.file(p)
		if f == nil {
			t.Errorf("%s is not on board", p)
			return ""
		}
		return f.data
	}
	for p, want := range map[string]string{
		"/etc/hostname": "fake\n", "/etc/resolv.conf": "search example.org example.net\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n",
		"/etc/localtime": "TZif2 Berlin", "/usr/lib/locale/C.utf8/LC_CTYPE": "letters", "/etc/hosts": "192.0.2.1 nas\n",
		"/etc/recovery/fstab": "/dev/vda1 / ext4 defaults 0 1\n", "/etc/recovery/locale": "LANG=de_DE.UTF-8\n",
		"/usr/share/man/man8/mount.8": ".TH MOUNT 8\n", "/usr/share/man/man1/real.1": ".TH GREP 1\n", "/usr/share/man/man5/fstab.5": ".TH FSTAB 5\n", "/usr/share/man/man7/asked.7": ".TH ASKED 7\n",
		"/usr/share/man/man8/mkcdrec.8": ".TH MKCDREC 8 2020\n",
	} {
		if got := content(p); got != want {
			t.Errorf("%s is %q", p, got)
		}
	}
	r.has("/usr/bin/man", "/usr/share/man/man1/grep.1", "/root/.profile", "/root/.bashrc")
	r.lacks("/usr/share/man/man1/stranger.1")
	r.warns("absent.8", "settings")
	for p, line := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "/etc/group": "disk:x:6:\n", "/etc/nsswitch.conf": "passwd: files\n", "/etc/shadow": "root:*:", "/etc/profile": "LANG=C.UTF-8",
	} {
		if got := content(p); !strings.Contains(got, line) {
			t.Errorf("%s is %q", p, got)
		}
	}
	for _, p := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/fstab"} {
		for _, not := range []string{"user", "secret", "vda1"} {
			if strings.Contains(content(p), not) {
				t.Errorf("%s speaks of %s: %q", p, not, content(p))
			}
		}
	}
	if f := r.files["etc/shadow"]; f == nil || f.mode != 0o100600 {
		t.Errorf("shadow: %+v", f)
	}

	var id Identity
	if err := json.Unmarshal([]byte(content(IdentityPath)), &id); err != nil {
		t.Fatal(err)
	}
	if id.MediumID != "01234567" || id.Kernel != fakeKernel || id.MemoryNeeded == 0 || id.MemoryNeeded != r.MemoryNeeded {
		t.Errorf("identity %+v", id)
	}
	if size := machine.Bytes(len(r.image)); r.Size != size || r.UnpackedSize < size/2 || r.MemoryNeeded < r.UnpackedSize+size {
		t.Errorf("said: %d packed, %d unpacked, %d of memory; packed are %d", r.Size, r.UnpackedSize, r.MemoryNeeded, size)
	}
}

// The consoles ask for a password only where the settings say so, and then
// the hash goes along with a note.
func TestBuildConsoleLogin(t *testing.T) {
	m := newFakeMachine(t)
	m.file("/etc/shadow", "root:$6$secret$hash:19000:0:99999:7:::\n")
	m.link("/usr/sbin/sulogin", "../bin/ok")
	o := m.options()
	o.Identity.Settings.ConsoleLogin = true
	r := m.mustBuild(o)
	if f := r.file("/etc/shadow"); f == nil || !strings.HasPrefix(f.data, "root:$6$secret$hash:") {
		t.Errorf("shadow: %+v", f)
	}
	r.has("/usr/sbin/sulogin")
	if all := strings.Join(r.Notes, "\n"); !strings.Contains(all, "hash of root's password") || !strings.Contains(all, "console_login") {
		t.Errorf("notes: %q", all)
	}
}
