package rescue

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

const (
	okProgram   = "int main(void) { return 0; }"
	exit127     = "int main(void) { return 127; }"
	needsDevice = `#include <stdio.h>
int main(void) { return fopen("/dev/null", "w") && fopen("/dev/urandom", "r") && fopen("/proc/self/stat", "r") ? 0 : 127; }`
)

// An optional program that cannot run is left out, with a warning, and
// nothing of it stays; what is shared with one that runs stays.
func TestBuildLeavesOutWhatDoesNotRun(t *testing.T) {
	m := newFakeMachine(t)
	m.compile("/usr/lib/libnano.so", "int nano(void) { return 127; }", "-shared", "-fPIC")
	m.compile("/opt/nano/nano", "int nano(void); int main(void) { return nano(); }", "-L"+m.at("/usr/lib"), "-l:libnano.so")
	m.link("/usr/bin/nano", "/etc/alternatives/nano")
	m.link("/etc/alternatives/nano", "/opt/nano/nano")
	m.file("/usr/share/man/man1/nano.1", ".TH NANO 1\n")

	m.file("/opt/shared/tool", "#!/opt/sh\ncase $0 in */tmux) exit 127;; esac\n")
	m.link("/usr/bin/tmux", "../../opt/shared/tool")
	m.link("/usr/bin/strace", "../../opt/shared/tool")

	m.compile("/usr/bin/vim.basic", exit127)
	m.link("/usr/bin/vi", "vim.basic")
	m.compile("/usr/bin/vim.tiny", okProgram)

	m.file("/usr/bin/fdisk", "#!/opt/sh\necho '/x: error while loading shared libraries: libq.so.1: not there' >&2\nexit 0\n")
	m.file("/usr/bin/parted", "#!/opt/sh\necho \"/x: /lib/libc.so.6: version \\`GLIBC_2.99' not found (required by /x)\" >&2\nexit 1\n")
	m.file("/usr/bin/cpio", "#!/opt/gone\n")
	m.compile("/usr/bin/lspci", "#include <stdlib.h>\nint main(void) { abort(); }")
	m.compile("/usr/lib/libgone.so", "int gone(void) { return 0; }", "-shared", "-fPIC")
	m.compile("/usr/bin/cfdisk", "int gone(void); int main(void) { return gone(); }", "-Wl,-rpath,/nowhere", "-L"+m.at("/usr/lib"), "-l:libgone.so")
	m.remove("/usr/lib/libgone.so")

	r := m.mustBuild(m.options())
	r.lacks("/usr/bin/nano", "/etc/alternatives/nano", "/opt/nano/nano", "/opt/nano", "/usr/lib/libnano.so", "/usr/share/man/man1/nano.1")
	r.warns("nano", "exit code 127")
	r.lacks("/usr/bin/tmux")
	r.warns("tmux")
	r.has("/usr/bin/strace", "/opt/shared/tool")
	r.lacks("/usr/bin/vim.basic")
	r.warns("/usr/bin/vi")
	if l := r.files["usr/bin/vi"]; l == nil || l.data != "/usr/bin/vim.tiny" {
		t.Errorf("vi is %+v", l)
	}
	r.lacks("/usr/bin/fdisk", "/usr/bin/parted", "/usr/bin/cpio", "/usr/bin/lspci", "/usr/bin/cfdisk", "/nowhere")
	r.warns("fdisk", "libq.so.1")
	r.warns("parted", "GLIBC_2.99")
	r.warns("cpio", "/opt/gone")
	r.warns("lspci")
	r.warns("cfdisk", "libgone.so")
	for _, p := range r.Programs {
		if slices.Contains([]string{"nano", "tmux", "fdisk", "parted", "cpio", "lspci", "cfdisk"}, p.Name) {
			t.Errorf("%s is listed as on board", p.Name)
		}
	}
}

// A program that only says that it does not know --version is fine, as is
// one that wants /dev and /proc, or finds its libraries by $ORIGIN.
func TestBuildKeepsWhatRuns(t *testing.T) {
	m := newFakeMachine(t)
	m.compile("/usr/bin/lsusb", "int main(void) { return 2; }")
	m.compile("/usr/bin/strace", needsDevice)
	m.compile("/opt/c/lib/libc1.so", "int c1(void) { return 0; }", "-shared", "-fPIC")
	m.compile("/opt/c/bin/curl", "int c1(void); int main(void) { return c1(); }", "-Wl,-rpath,$ORIGIN/../lib", "-L"+m.at("/opt/c/lib"), "-l:libc1.so")
	m.link("/usr/bin/curl", "../../opt/c/bin/curl")
	r := m.mustBuild(m.options())
	r.has("/usr/bin/lsusb", "/usr/bin/strace", "/usr/bin/curl", "/opt/c/lib/libc1.so")
	if len(r.Warnings) > 0 {
		t.Errorf("warnings: %q", r.Warnings)
	}
}

// A program that is needed and cannot run is an error that names it and what it lacks.
func TestBuildRefusesWithoutNeeded(t *testing.T) {
	needsGone := func(m fakeMachine, p string) {
		m.compile("/usr/lib/libgone.so", "int gone(void) { return 0; }", "-shared", "-fPIC")
		m.compile(p, "int gone(void); int main(void) { return gone(); }", "-L"+m.at("/usr/lib"), "-l:libgone.so")
		m.remove("/usr/lib/libgone.so")
	}
	for _, c := range []struct {
		what string
		own  []string
		make func(m fakeMachine)
		want []string
	}{
		{"it is not there", nil, func(m fakeMachine) { m.remove("/usr/bin/grep") }, []string{"grep"}},
		{"a removed library", nil, func(m fakeMachine) { needsGone(m, "/usr/bin/grep") }, []string{"grep", "libgone.so"}},
		{"a removed interpreter", nil, func(m fakeMachine) { m.file("/usr/bin/grep", "#!/opt/gone -x\n") }, []string{"grep", "/opt/gone"}},
		{"a removed dynamic linker", nil, func(m fakeMachine) { m.compile("/usr/bin/grep", okProgram, "-Wl,--dynamic-linker=/lib64/ld-gone.so") }, []string{"grep", "/lib64/ld-gone.so"}},
		{"it does not start", nil, func(m fakeMachine) { m.compile("/usr/bin/grep", exit127) }, []string{"grep", "127"}},
		{"one of the settings is not there", []string{"mytool"}, func(fakeMachine) {}, []string{"mytool"}},
		{"one of the settings lacks a library", []string{"/opt/my/tool"}, func(m fakeMachine) { needsGone(m, "/opt/my/tool") }, []string{"/opt/my/tool", "libgone.so"}},
		// The library is there, but not the version of its symbols that the program was linked with.
		{"one of the settings has another library", []string{"mytool"}, func(m fakeMachine) {
			write(t, m.root, "/v.map", "VERS_2 { global: my; };\n")
			m.compile("/usr/lib/libmy.so", "int my(void) { return 0; }", "-shared", "-fPIC", "-Wl,--version-script="+m.at("/v.map"))
			m.compile("/usr/bin/mytool", "int my(void); int main(void) { return my(); }", "-L"+m.at("/usr/lib"), "-l:libmy.so")
			write(t, m.root, "/v.map", "VERS_1 { global: my; };\n")
			m.compile("/usr/lib/libmy.so", "int my(void) { return 0; }", "-shared", "-fPIC", "-Wl,--version-script="+m.at("/v.map"))
		}, []string{"mytool", "VERS_2"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newFakeMachine(t)
			c.make(m)
			o := m.options()
			o.Programs = c.own
			_, err := m.build(o)
			if fail.KindOf(err) != fail.Unsupported {
				t.Fatalf("error %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
			if left, err := os.ReadDir(o.WorkDir); err != nil || len(left) > 0 {
				t.Errorf("the work directory holds %v, %v", left, err)
			}
		})
	}
}

// A program whose arguments are not known is loaded and not run.
func TestBuildDoesNotRunTheUsersPrograms(t *testing.T) {
	m := newFakeMachine(t)
	m.compile("/usr/bin/mytool", exit127)
	o := m.options()
	o.Programs = []string{"mytool"}
	r := m.mustBuild(o)
	r.has("/usr/bin/mytool")
	if want := testInterp + " --list /usr/bin/mytool"; !slices.Contains(r.ran, want) {
		t.Errorf("%q is not among what ran:\n%s", want, strings.Join(r.ran, "\n"))
	}
	for _, c := range r.ran {
		if strings.HasPrefix(c, "/usr/bin/mytool") {
			t.Errorf("ran %s", c)
		}
	}
}

// A script of the user whose interpreter lives on modules is said to need them.
func TestBuildWarnsOfModularScripts(t *testing.T) {
	m := newFakeMachine(t)
	m.link("/usr/bin/perl", "ok")
	m.link("/usr/bin/python3", "ok")
	m.file("/usr/bin/byperl", "#!/usr/bin/perl -w\nuse strict;\n")
	m.file("/usr/bin/bypython", "#!/usr/bin/env python3\nimport os\n")
	m.file("/usr/bin/byshell", "#!/opt/sh\n")
	o := m.options()
	o.Programs = []string{"byperl", "bypython", "byshell"}
	r := m.mustBuild(o)
	r.has("/usr/bin/perl", "/usr/bin/python3", "/opt/sh")
	r.warns("byperl", "perl", "modules", "settings")
	r.warns("bypython", "python3", "modules")
	if len(r.Warnings) != 2 {
		t.Errorf("warnings: %q", r.Warnings)
	}
}

// Files of the settings bring what they need; where they lack something the warning says so.
func TestBuildFilesOfTheSettings(t *testing.T) {
	m := newFakeMachine(t)
	m.compile("/usr/lib/libmine.so", "int mine(void) { return 0; }", "-shared", "-fPIC")
	m.compile("/opt/mine/bin/good", "int mine(void); int main(void) { return mine(); }", "-L"+m.at("/usr/lib"), "-l:libmine.so")
	m.file("/opt/mine/bin/script", "#!/opt/gone\n")
	m.file("/opt/mine/notes", "read me\n")
	o := m.options()
	o.Files = []string{"/opt/mine"}
	r := m.mustBuild(o)
	r.has("/opt/mine/bin/good", "/usr/lib/libmine.so", "/opt/mine/notes", "/opt/mine/bin/script")
	r.warns("/opt/mine/bin/script", "/opt/gone", "settings")
	if len(r.Warnings) != 1 {
		t.Errorf("warnings: %q", r.Warnings)
	}
	o.Files, o.WorkDir = []string{"/opt/absent"}, t.TempDir()
	if _, err := m.build(o); fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), "/opt/absent") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// busybox stands in for programs that are not there: the machine's own, from
// where it lies; what it does not run either is left out.
func TestBuildApplets(t *testing.T) {
	m := newFakeMachine(t)
	m.copy("/usr/sbin/busybox", "busybox")
	m.remove("/usr/bin/wc") // needed
	r := m.mustBuild(m.options())
	r.has("/usr/bin/ping", "/usr/bin/wc")
	if l := r.files["usr/bin/ping"]; l == nil || l.data != "/usr/sbin/busybox" {
		t.Errorf("ping is %+v", l)
	}
	if !slices.Contains(r.ran, "/usr/sbin/busybox --list") {
		t.Errorf("the busybox of the machine was not asked:\n%s", strings.Join(r.ran, "\n"))
	}

	m = newFakeMachine(t)
	m.file("/usr/bin/busybox", "#!/opt/sh\ncase ${0##*/} in busybox) echo ping; echo nc;; nc) exit 0;; *) exit 127;; esac\n")
	r = m.mustBuild(m.options())
	r.has("/usr/bin/nc")
	r.lacks("/usr/bin/ping")
	r.warns("/usr/bin/ping")
}

// dhclient is of no use without the script that it calls.
func TestBuildDhclientWithItsScript(t *testing.T) {
	m := newFakeMachine(t)
	m.compile("/usr/sbin/dhclient", okProgram)
	r := m.mustBuild(m.options())
	r.lacks("/usr/sbin/dhclient")
	r.warns("dhclient", "dhclient-script")

	m.file("/sbin/dhclient-script", "#!/opt/sh\n")
	m.file("/var/lib/dhcp/dhclient.leases", "lease { }\n")
	r = m.mustBuild(m.options())
	r.has("/usr/sbin/dhclient", "/sbin/dhclient-script", "/opt/sh", "/var/lib/dhcp")
	r.lacks("/var/lib/dhcp/dhclient.leases")
}

// The same machine gives the same bytes, whenever its files were made and in
// whatever order.
func TestBuildIsReproducible(t *testing.T) {
	var images [2][]byte
	for i := range images {
		m := newFakeMachine(t)
		names := []string{"/opt/x/a", "/opt/x/b", "/opt/x/c", "/usr/lib/firmware/f", "/usr/share/man/man8/mount.8", "/usr/share/man/man1/cat.1"}
		if i == 1 {
			slices.Reverse(names)
		}
		for _, n := range names {
			m.file(n, n)
			at := time.Unix(int64(1_000_000_000*(i+1)), 0)
			if err := os.Chtimes(m.at(n), at, at); err != nil {
				t.Fatal(err)
			}
		}
		o := m.options()
		o.Files = []string{"/opt/x"}
		images[i] = m.mustBuild(o).image
	}
	if !bytes.Equal(images[0], images[1]) {
		a, b := readImage(t, images[0]), readImage(t, images[1])
		for n, f := range a {
			if b[n] == nil || *b[n] != *f {
				t.Errorf("%s differs", n)
			}
		}
		t.Errorf("the images differ: %d and %d bytes", len(images[0]), len(images[1]))
	}
}
