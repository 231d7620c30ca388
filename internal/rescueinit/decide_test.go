package rescueinit

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/sys/mountinfo"
)

func TestParseCommandLine(t *testing.T) {
	tests := []struct {
		line string
		want Options
	}{
		{"console=ttyS0 quiet root=/dev/ram0", Options{}},
		{"mkcdrec.auto=medium mkcdrec.then=poweroff", Options{Auto: "medium", Then: ThenPoweroff}},
		{`mkcdrec.auto="/answers for web01.toml" mkcdrec.debug`, Options{Auto: "/answers for web01.toml", Debug: true}},
		{"mkcdrec.check mkcdrec.nonet\n", Options{Check: true, NoNet: true}},
		{"mkcdrec.check=0", Options{}},
		{"mkcdrec.medium=0badcafe rootfstype=ramfs", Options{Medium: "0badcafe"}},
		{"ip=dhcp", Options{DHCP: true}},
		{"ip=192.0.2.1::192.0.2.254:255.255.255.0::eth0:off", Options{}}, // the kernel's business
		{"mkcdrec.ip=192.0.2.5/24,via=192.0.2.1,dns=192.0.2.53,dns=2001:db8::53,dev=52:54:00:00:00:01", Options{IP: &StaticIP{
			Address: netip.MustParsePrefix("192.0.2.5/24"), Via: netip.MustParseAddr("192.0.2.1"),
			DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}, Dev: "52:54:00:00:00:01"}}},
		{"mkcdrec.ip=192.0.2.5", Options{Problems: []string{"mkcdrec.ip=192.0.2.5 does not begin with ADDRESS/PREFIX such as 192.0.2.5/24"}}},
		{"mkcdrec.then=explode", Options{Then: ThenShell, Problems: []string{"mkcdrec.then=explode is none of reboot, poweroff, shell: shell it is"}}},
		{"mkcdrec.auto=", Options{Problems: []string{"mkcdrec.auto= names no answer file: no unattended run"}}},
		{"mkcdrec.atuo=medium", Options{Problems: []string{"kernel argument mkcdrec.atuo is not known"}}},
	}
	for _, tt := range tests {
		if got := ParseCommandLine(tt.line); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseCommandLine(%q)\n got %+v\nwant %+v", tt.line, got, tt.want)
		}
	}
}

func TestConsoleNames(t *testing.T) {
	tty := func(names ...string) fstest.MapFS {
		fs := fstest.MapFS{}
		for _, n := range names {
			fs[n+"/dev"] = &fstest.MapFile{}
		}
		return fs
	}
	vga := tty("tty0", "tty1", "tty2", "tty3", "tty4", "tty5", "ttyS0", "ttyS1")
	tests := []struct {
		active string
		sys    fstest.MapFS
		want   string
	}{
		{"tty0\n", vga, "tty1 tty2 tty3 tty4"},
		{"tty0 ttyS0\n", vga, "ttyS0 tty1 tty2 tty3 tty4"},
		{"ttyS1 ttyS0 tty0\n", vga, "tty1 ttyS0 ttyS1 tty2 tty3 tty4"},
		{"ttyS0\n", tty("ttyS0"), "ttyS0"}, // a cloud kernel without virtual terminals
		{"ttyAMA0 ttyAMA0\n", tty("ttyAMA0"), "ttyAMA0"},
		{"", vga, "tty1 tty2 tty3 tty4"},
		{"netcon0 ttyS0\n", tty("ttyS0"), "ttyS0"}, // a console that is no terminal
	}
	for _, tt := range tests {
		if got := strings.Join(consoleNames(tt.active, tt.sys), " "); got != tt.want {
			t.Errorf("consoleNames(%q) = %q, want %q", tt.active, got, tt.want)
		}
	}
}

func TestTermOf(t *testing.T) {
	for name, want := range map[string]string{"tty1": "linux", "tty12": "linux", "ttyS0": "vt220", "hvc0": "vt220", "ttyAMA0": "vt220", "tty": "vt220"} {
		if got := termOf(name); got != want {
			t.Errorf("termOf(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDecideThen(t *testing.T) {
	tests := []struct {
		arg     Then
		answers string
		want    Then
	}{
		{"", "", ThenShell},
		{"", "then = \"poweroff\"\n[disks]\nvda = \"vdb\"\n", ThenPoweroff},
		{"", "then = \"explode\"\n", ThenShell},
		{"", "this is no TOML", ThenShell},
		{ThenShell, "then = \"poweroff\"", ThenShell},
	}
	for _, tt := range tests {
		if got := decideThen(tt.arg, []byte(tt.answers)); got != tt.want {
			t.Errorf("decideThen(%q, %q) = %q, want %q", tt.arg, tt.answers, got, tt.want)
		}
	}
}

func TestSucceeded(t *testing.T) {
	for code, want := range map[int]bool{0: true, 1: false, 2: false, 3: true, 4: false, 5: false, 8: false, 130: false} {
		if succeeded(code) != want {
			t.Errorf("succeeded(%d) = %v", code, !want)
		}
	}
}

func TestAnswerPaths(t *testing.T) {
	tests := map[string]string{
		"medium":           "/run/mkcdrec/medium/mkcdrec/answers.toml /run/mkcdrec/medium/answers.toml",
		"a.toml":           "/run/mkcdrec/medium/a.toml /a.toml",
		"/etc/a.toml":      "/run/mkcdrec/medium/etc/a.toml /etc/a.toml",
		"../../etc/a.toml": "/run/mkcdrec/medium/etc/a.toml /etc/a.toml",
	}
	for in, want := range tests {
		if got := strings.Join(answerPaths(in), " "); got != want {
			t.Errorf("answerPaths(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMountsToRelease(t *testing.T) {
	const info = `1 1 0:2 / / rw - rootfs none rw
20 1 0:19 / /proc rw,nosuid - proc proc rw
21 1 0:20 / /run rw - tmpfs tmpfs rw
22 21 11:0 / /run/mkcdrec/medium ro - iso9660 /dev/sr0 ro
23 1 252:1 / /mnt/target rw - ext4 /dev/vda1 rw
24 23 252:2 / /mnt/target/my\040data rw - xfs /dev/vda2 rw
25 23 0:19 / /mnt/target/proc rw - proc proc rw
`
	want := []string{"/mnt/target/proc", "/mnt/target/my data", "/mnt/target", "/run/mkcdrec/medium"}
	all, err := mountinfo.GetMountsFromReader(strings.NewReader(info), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := mountsToRelease(all); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSwapsIn(t *testing.T) {
	const table = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/dm-1 partition 1 0 -2\n/mnt/a\\040b file 1 0 -3\n"
	if got, want := swapsIn(table), []string{"/dev/dm-1", "/mnt/a b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUnlocked(t *testing.T) {
	in := "daemon:!:1::\nroot:!$6$abc:19000:0::::\nrooty:!:1::\n"
	if got, want := unlocked(in), "daemon:!:1::\nroot:*:19000:0::::\nrooty:!:1::\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	const set = "root:$6$abc:19000::\n"
	if got := unlocked(set); got != set {
		t.Errorf("a set password was changed: %q", got)
	}
}

func TestEndName(t *testing.T) {
	for name, want := range map[string]bool{"/sbin/poweroff": true, "reboot": true, "halt": true, "shutdown": true, "mkcdrec": false, "/init": false} {
		if EndName(name) != want {
			t.Errorf("EndName(%q) = %v", name, !want)
		}
	}
}

func TestSignalRefusesOutsideTheRescueSystem(t *testing.T) {
	var out strings.Builder
	if code := EndCommand([]string{"poweroff", "-f"}, &out); code != 1 || !strings.Contains(out.String(), "not the mkcdrec rescue system") {
		t.Errorf("exit %d, %q", code, out.String())
	}
	if Signal("sleep") == nil {
		t.Error("Signal accepted a name that is none of the three")
	}
}

// A shell has the locale of the machine, and PID 1 has none.
func TestEnvironment(t *testing.T) {
	r := &rescuer{}
	if env := r.environment("linux"); slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "LANG=") }) || !slices.Contains(env, "TERM=linux") {
		t.Errorf("%q", env)
	}
	t.Setenv("LANG", "C")
	r.st.Identity.Settings.Locale = "de_DE.UTF-8"
	if env := r.environment("linux"); !slices.Contains(env, "LANG=de_DE.UTF-8") || slices.Contains(env, "LANG=C") {
		t.Errorf("%q", env)
	}
}
