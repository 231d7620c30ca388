package rescue

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// addBase adds directories, links of a merged /usr, and the device nodes
// that the kernel needs before devtmpfs is mounted.
func addBase(t *Tree) {
	for _, d := range []string{"/bin", "/sbin", "/lib", "/lib64", "/usr/sbin"} {
		if fi, err := os.Lstat(t.host(d)); err == nil && fi.Mode()&os.ModeSymlink != 0 {
			_, _ = t.AddHost(d) // adding a link that is there cannot fail but for a race, and then the files below bring it
		}
	}
	for _, d := range []string{"/dev", "/proc", "/sys", "/run", "/etc", "/mnt", "/media", "/var", "/var/log", "/var/lib", "/usr/bin", "/usr/sbin", "/home", "/opt"} {
		if !t.Has(d) {
			t.AddDir(d, 0o755)
		}
	}
	t.AddDir("/root", 0o700)
	t.AddDir("/root/.ssh", 0o700)
	t.AddDir("/tmp", 0o777|os.ModeSticky)
	t.AddDir("/var/tmp", 0o777|os.ModeSticky)
	t.AddLink("/var/run", "../run")
	t.AddLink("/etc/mtab", "../proc/self/mounts")
	t.AddChar("/dev/console", 0o600, 5, 1)
	t.AddChar("/dev/null", 0o666, 1, 3)
	t.AddChar("/dev/kmsg", 0o644, 1, 11)
}

// hostFamily is the family of the machine below the tree's root.
func hostFamily(t *Tree) Family {
	b, _ := os.ReadFile(t.host("/etc/os-release")) // unknown: Debian
	return FamilyOf(string(b))
}

// copied are files of the machine that are the same in its rescue system.
// fstab and modprobe.d are not among them: "mount -a" must find nothing, and
// a blacklisted usb-storage must not keep the medium from its own disc.
var copied = []string{"/etc/services", "/etc/protocols", "/etc/networks", "/etc/rpc", "/etc/ethers", "/etc/hosts", "/etc/os-release", "/etc/inputrc",
	"/etc/localtime", "/etc/timezone", "/etc/adjtime", "/etc/default/keyboard", "/etc/vconsole.conf", "/etc/machine-info", "/etc/host.conf", "/etc/gai.conf", "/etc/ld.so.conf"}

// made are small files written for the rescue system; @LOCALE@ is its locale.
var made = map[string]string{
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nrpc: files\n",
	"/etc/shells":        "/bin/sh\n/bin/bash\n",
	"/etc/fstab":         "# Empty on purpose: the machine's own is /etc/recovery/fstab.\n",
	"/etc/profile": `# Sourced by login shells of the rescue system.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LANG=@LOCALE@ PAGER=less EDITOR=vi LESS=-R
PS1='rescue:\h:\w\$ '
HISTCONTROL=ignoredups
alias ll='ls -l'
`,
	"/root/.bashrc":                ". /etc/profile\n",
	"/root/.profile":               ". /etc/profile\n",
	"/root/.vimrc":                 "\" With this file vim does not look for its own defaults, which are not on board.\nset nocompatible backspace=indent,eol,start ruler\n",
	"/etc/modprobe.d/mkcdrec.conf": "# Arrays start read-only and resync only when something is written to them.\noptions md_mod start_ro=1\n",
	"/etc/mdadm/mdadm.conf":        "# Nothing is assembled by itself: no rule of udev does it. By hand: mdadm --assemble --scan.\n# The machine's own file is below /etc/recovery.\nHOMEHOST <ignore>\n",
	"/etc/lvm/lvm.conf":            "devices {\n\tuse_devicesfile = 0\n}\nglobal {\n\tuse_lvmlockd = 0\n\tuse_lvmpolld = 0\n}\nactivation {\n\tmonitoring = 0\n}\nbackup {\n\tbackup = 0\n\tarchive = 0\n}\n",
	// Beside the machine's own settings: a single path is a disk here.
	"/etc/multipath/conf.d/90-mkcdrec.conf": "defaults {\n\tfind_multipaths on\n}\n",
	"/etc/ssh/sshd_config":                  sshdConfig,
	"/etc/ssh/ssh_config":                   "Host *\n\tHashKnownHosts no\n",
}

const sshdConfig = `# The rescue system lets root in by key only; the keys come from the settings
# (rescue.authorized_keys), the host keys are made at each boot.
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AuthorizedKeysFile /root/.ssh/authorized_keys
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
PrintMotd no
UseDNS no
Subsystem sftp internal-sftp
`

// terminals are the terminal descriptions that go on the medium.
var terminals = []string{"linux", "vt100", "vt102", "vt220", "vt320", "xterm", "xterm-256color", "xterm-color", "screen", "screen-256color", "tmux", "tmux-256color", "ansi",
	"dumb", "rxvt", "rxvt-unicode-256color", "putty", "cygwin", "alacritty", "xterm-kitty", "foot"}

// accounts are the users besides root that programs on board ask for.
var accounts = []string{"root", "nobody", "sshd", "statd", "_rpc", "rpc", "rpcuser", "tss"}

// addSettings adds the mkcdrec binary and the files that make programs at home.
func (c *Contents) addSettings(m machine.Machine, o Options) error {
	t := c.Tree
	binary := o.Binary
	if binary == "" {
		binary = "/proc/self/exe"
	}
	if err := t.AddSource(BinaryPath, 0o755, binary); err != nil {
		return fmt.Errorf("cannot put mkcdrec into the rescue system: %w", err)
	}
	t.AddLink("/init", BinaryPath)
	for _, n := range Names {
		t.AddLink("/usr/bin/"+n, "mkcdrec")
	}
	for _, f := range copied {
		if isFile(t, f) {
			if _, err := t.AddHost(f); err != nil {
				return err
			}
		}
	}
	for p, text := range made {
		t.AddData(p, 0o644, []byte(strings.ReplaceAll(text, "@LOCALE@", o.Identity.Settings.Locale)))
	}
	t.AddData("/etc/hostname", 0o644, []byte(m.Hostname+"\n"))
	t.AddData("/etc/resolv.conf", 0o644, resolvConf(m.Network))
	c.addAccounts(o.Identity.Settings.ConsoleLogin)
	for _, n := range terminals {
		for _, d := range []string{"/usr/share/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/etc/terminfo"} {
			if p := path.Join(d, n[:1], n); isFile(t, p) && !t.Has(p) {
				if _, err := t.AddHost(p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addIdentity writes what the rescue system knows of itself; last, for it says its own needs.
func addIdentity(t *Tree, id Identity) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the identity: %w", err)
	}
	t.AddData(IdentityPath, 0o644, append(b, '\n'))
	return nil
}

func resolvConf(n machine.Network) []byte {
	var b strings.Builder
	if len(n.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(n.Search, " "))
	}
	for _, d := range n.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", d)
	}
	return []byte(b.String())
}

// addAccounts writes passwd, group and shadow: names for the prompt and for
// daemons. Root's password hash goes along only if the settings want the
// consoles to ask for it, and a note says so.
func (c *Contents) addAccounts(rootPassword bool) {
	t := c.Tree
	passwd := map[string]string{
		"root":   "root:x:0:0:root:/root:/bin/bash",
		"nobody": "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
		"sshd":   "sshd:x:74:65534:sshd:/run/sshd:/usr/sbin/nologin",
	}
	b, _ := os.ReadFile(t.host("/etc/passwd")) // without it the three above do
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 7 && f[0] != "root" && slices.Contains(accounts, f[0]) {
			passwd[f[0]] = strings.Join(f, ":")
		}
	}
	groups := []string{"root:x:0:"}
	b, _ = os.ReadFile(t.host("/etc/group"))
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		var gid int
		if len(f) == 4 && f[0] != "root" {
			if _, err := fmt.Sscan(f[2], &gid); err == nil && (gid < 1000 || gid == 65534) {
				groups = append(groups, f[0]+":x:"+f[2]+":")
			}
		}
	}
	var users, shadow strings.Builder
	for _, a := range accounts {
		if line, ok := passwd[a]; ok {
			users.WriteString(line + "\n")
			shadow.WriteString(a + ":" + map[bool]string{true: c.rootHash(rootPassword), false: "*"}[a == "root"] + ":19000:0:99999:7:::\n")
		}
	}
	t.AddData("/etc/passwd", 0o644, []byte(users.String()))
	t.AddData("/etc/group", 0o644, []byte(strings.Join(groups, "\n")+"\n"))
	t.AddData("/etc/shadow", 0o600, []byte(shadow.String()))
}

// rootHash is root's password hash, or "*" (no password fits).
func (c *Contents) rootHash(wanted bool) string {
	if !wanted {
		return "*"
	}
	b, err := readHost(c.Tree, "/etc/shadow")
	if err != nil {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the consoles cannot ask for root's password: %v", err))
		return "*"
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(line, ":"); f[0] == "root" && len(f) > 1 && strings.HasPrefix(f[1], "$") {
			c.Notes = append(c.Notes, "the medium holds the hash of root's password (settings: console_login)")
			return f[1]
		}
	}
	c.Warnings = append(c.Warnings, "root has no password on this machine: nobody can log in on the consoles of the rescue system (settings: console_login)")
	return "*"
}
