package rescue

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// ModuleSet says how many kernel modules go on the medium.
type ModuleSet string

// The module sets.
const (
	GenericModules ModuleSet = "generic" // boots on other hardware too
	HostModules    ModuleSet = "host"    // what this machine uses, and the medium itself needs
	AllModules     ModuleSet = "all"
)

// genericDirs are directories below kernel/ that go in whole. A directory
// ends in "/"; a path without one is a module file without suffix.
var genericDirs = []string{
	"arch/", "block/", "crypto/", "lib/",
	"drivers/ata/", "drivers/block/", "drivers/cdrom/", "drivers/md/", "drivers/nvme/", "drivers/message/", "drivers/scsi/",
	"drivers/virtio/", "drivers/hv/", "drivers/xen/", "drivers/misc/vmw_vmci", "drivers/ufs/", "drivers/nvdimm/", "drivers/dax/",
	"drivers/mmc/", "drivers/memstick/", "drivers/firewire/", "drivers/thunderbolt/", "drivers/dca/",
	"drivers/usb/common/", "drivers/usb/core/", "drivers/usb/host/", "drivers/usb/storage/", "drivers/usb/serial/", "drivers/usb/class/",
	"drivers/usb/dwc3/", "drivers/usb/typec/", "drivers/usb/roles/", "drivers/phy/",
	"drivers/hid/", "drivers/input/keyboard/", "drivers/input/mouse/", "drivers/input/serio/", "drivers/input/evdev", "drivers/input/input-leds",
	"drivers/net/ethernet/", "drivers/net/phy/", "drivers/net/mdio/", "drivers/net/pcs/", "drivers/net/usb/", "drivers/net/hyperv/",
	"drivers/net/vmxnet3/", "drivers/net/bonding/", "drivers/net/team/", "drivers/net/virtio_net", "drivers/net/net_failover", "drivers/net/xen-netfront",
	"drivers/net/macvlan", "drivers/net/dummy", "drivers/net/tun", "drivers/net/veth", "drivers/net/mii", "drivers/net/vxlan/",
	"drivers/char/hw_random/", "drivers/char/tpm/", "drivers/char/virtio_console", "drivers/char/ipmi/", "drivers/char/nvram", "drivers/tty/serial/",
	"drivers/pci/", "drivers/pinctrl/", "drivers/i2c/busses/i2c-designware", "drivers/i2c/busses/i2c-i801", "drivers/mfd/intel-lpss",
	"drivers/platform/x86/wmi", "drivers/gpu/drm/tiny/simpledrm", "drivers/firmware/", "drivers/acpi/button", "drivers/hwmon/drivetemp",
	"drivers/bus/", "drivers/virt/", "drivers/target/loopback/", "drivers/parport/", "drivers/watchdog/softdog", "drivers/video/backlight/",
	"fs/ext4/", "fs/ext2/", "fs/ext3/", "fs/jbd2/", "fs/mbcache", "fs/xfs/", "fs/btrfs/", "fs/fat/", "fs/exfat/", "fs/isofs/", "fs/udf/", "fs/squashfs/", "fs/erofs/",
	"fs/nfs/", "fs/nfs_common/", "fs/lockd/", "fs/cifs/", "fs/smb/", "fs/smbfs_common/", "fs/9p/", "fs/fuse/", "fs/overlayfs/", "fs/nls/", "fs/f2fs/", "fs/jfs/", "fs/reiserfs/",
	"fs/ntfs3/", "fs/hfs/", "fs/hfsplus/", "fs/minix/", "fs/nilfs2/", "fs/efivarfs/", "fs/fscache/", "fs/netfs/", "fs/quota/", "fs/configfs/", "fs/autofs/", "fs/binfmt",
	"fs/pstore/", "fs/cramfs/", "fs/romfs/", "fs/ufs/",
	"net/8021q/", "net/802/", "net/llc/", "net/bridge/", "net/ipv6/ipv6", "net/packet/", "net/9p/", "net/sunrpc/", "net/vmw_vsock/", "net/dns_resolver/", "net/core/",
	"net/unix/", "net/key/", "security/",
}

// leftOut are modules and directories inside the above that a rescue system
// does without: clusters' switches and offload engines, and what is large and rare.
var leftOut = []string{
	"drivers/net/ethernet/mellanox/mlxsw/", "drivers/net/ethernet/netronome/", "drivers/usb/serial/io_", "drivers/scsi/cxgbi/", "drivers/scsi/pcmcia/",
	"drivers/scsi/csiostor/", "drivers/net/usb/hso", "drivers/net/ethernet/chelsio/inline_crypto/", "drivers/net/usb/r8153_ecm", "drivers/block/drbd/", "drivers/block/rbd",
	"drivers/firmware/iscsi_ibft_find", "drivers/hid/hid-picolcd", "drivers/input/mouse/synaptics_i2c", "drivers/xen/xen-gntalloc", "arch/x86/kvm/", "drivers/scsi/scsi_debug",
	"crypto/tcrypt", "lib/test", "fs/nfs/blocklayout/", "drivers/video/", "lib/crypto/libarc4", "drivers/block/zram/", "drivers/block/null_blk/",
}

// hostAlways is what a medium needs whatever the machine uses.
var hostAlways = []string{"isofs", "udf", "loop", "squashfs", "sr_mod", "cdrom", "sd_mod", "usb-storage", "uas", "usbhid", "hid-generic", "xhci-pci", "ehci-pci", "ohci-pci", "uhci-hcd",
	"ext4", "vfat", "nls_cp437", "nls_iso8859-1", "nls_utf8", "nls_ascii", "dm-mod", "dm-snapshot", "evdev", "atkbd", "i8042", "efivarfs", "ahci", "nvme", "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net"}

// luxuries are what a rescue system does without even where it is in use.
var luxuries = []string{"sound/", "drivers/media/", "drivers/bluetooth/", "net/bluetooth/", "drivers/net/wireless/", "net/wireless/", "net/mac80211/", "net/rfkill/"}

// Kernel is a kernel with its modules on this machine.
type Kernel struct {
	Version string
	Image   string // path of vmlinuz below the tree's root
	Modules string // /lib/modules/VERSION below the tree's root
}

// modules are the modules of one kernel.
type modules struct {
	tree *Tree
	dir  string              // real path of /lib/modules/VERSION
	deps map[string][]string // file below dir -> files it depends on
	file map[string]string   // name with _ -> file below dir
}

// moduleName is a module's name as the kernel compares it.
func moduleName(file string) string {
	n := path.Base(file)
	if i := strings.Index(n, ".ko"); i > 0 {
		n = n[:i]
	}
	return strings.ReplaceAll(n, "-", "_")
}

// readModules reads modules.dep of a kernel.
func readModules(t *Tree, k Kernel) (*modules, error) {
	real, _, err := t.Resolve(k.Modules)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(t.host(path.Join(real, "modules.dep")))
	if err != nil {
		return nil, fmt.Errorf("cannot read the list of kernel modules: %w", err)
	}
	defer f.Close()
	m := &modules{tree: t, dir: real, deps: map[string][]string{}, file: map[string]string{}}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		file, deps, ok := strings.Cut(sc.Text(), ":")
		if !ok {
			continue
		}
		m.deps[file] = strings.Fields(deps)
		m.file[moduleName(file)] = file
	}
	return m, sc.Err()
}

// matches says whether a module file below kernel/ is named by a list.
func matches(list []string, file string) bool {
	p := strings.TrimPrefix(file, "kernel/")
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(p, s) })
}

// needs says whether a module file is one of the named modules, or depends on
// one. modules.dep lists indirect dependencies, too (modules.dep(5)).
func (m *modules) needs(file string, names []string) bool {
	named := func(f string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return moduleName(n) == moduleName(f) })
	}
	return named(file) || slices.ContainsFunc(m.deps[file], named)
}

// luxury says that a module may be in use on this machine and is not worth its
// memory in a rescue system: sound, cameras, radio, and graphics that load
// firmware (the firmware of one graphics driver is larger than all the rest;
// the console works without). The settings can ask for it (extra_modules).
func (m *modules) luxury(file string) bool {
	if matches(luxuries, file) || strings.HasPrefix(moduleName(file), "nvidia") {
		return true
	}
	if !matches([]string{"drivers/gpu/"}, file) {
		return false
	}
	info, err := readModinfo(m.tree.host(path.Join(m.dir, file)))
	return err == nil && len(info.Firmware) > 0
}

// choose is the set of module files, with their dependencies and soft
// dependencies, and the firmware that they name. An excluded module is not in
// it, nor is one that cannot be loaded without it. unknown are names in extra
// that no module has.
func (m *modules) choose(set ModuleSet, used, extra, excluded []string) (files, firmware, unknown []string, err error) {
	want := map[string]bool{}
	var todo []string
	add := func(file string) {
		if !want[file] && !m.needs(file, excluded) {
			want[file] = true
			todo = append(todo, file)
		}
	}
	switch set {
	case AllModules:
		for f := range m.deps {
			add(f)
		}
	case GenericModules:
		for f := range m.deps {
			if matches(genericDirs, f) && !matches(leftOut, f) {
				add(f)
			}
		}
	case HostModules:
	default:
		return nil, nil, nil, fmt.Errorf("unknown module set %q: use generic, host or all", set)
	}
	for _, n := range used {
		if f, ok := m.file[moduleName(n)]; ok && !m.luxury(f) {
			add(f) // one that is not here is built in, or of another kernel
		}
	}
	for _, n := range hostAlways {
		if f, ok := m.file[moduleName(n)]; ok {
			add(f)
		}
	}
	for _, n := range extra {
		if f, ok := m.file[moduleName(n)]; ok {
			add(f)
		} else {
			unknown = append(unknown, n)
		}
	}
	fw := map[string]bool{}
	for len(todo) > 0 {
		f := todo[0]
		todo = todo[1:]
		for _, d := range m.deps[f] {
			add(d)
		}
		info, err := readModinfo(m.tree.host(path.Join(m.dir, f)))
		if errors.Is(err, fs.ErrNotExist) {
			delete(want, f) // listed and deleted by hand: depmod will say the same
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		for _, s := range info.Softdeps {
			if d, ok := m.file[moduleName(s)]; ok {
				add(d)
			}
		}
		for _, n := range info.Firmware {
			fw[n] = true
		}
	}
	for f := range want {
		files = append(files, f)
	}
	for f := range fw {
		firmware = append(firmware, f)
	}
	sort.Strings(files)
	sort.Strings(firmware)
	return files, firmware, unknown, nil
}

// addModules puts module files, the lists that depmod wants, and firmware
// into the tree. It returns the firmware that is not on this machine.
func (m *modules) addModules(files, firmware []string) (missing []string, err error) {
	for _, f := range files {
		if _, err := m.tree.AddHost(path.Join(m.dir, f)); err != nil {
			return nil, err
		}
	}
	for _, n := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if _, err := m.tree.AddHost(path.Join(m.dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, n := range firmware {
		if !m.addFirmware(n) {
			missing = append(missing, n)
		}
	}
	return missing, nil
}

func (m *modules) addFirmware(name string) bool {
	found := false
	for _, suffix := range []string{"", ".xz", ".zst"} {
		pattern := path.Join("/lib/firmware", name) + suffix
		files, _ := filepath.Glob(m.tree.host(pattern)) // a module may name a pattern; a bad one matches nothing
		for _, hp := range files {
			rel, err := filepath.Rel(m.tree.Root, hp)
			if err != nil {
				continue
			}
			if _, err := m.tree.AddHost("/" + rel); err == nil {
				found = true
			}
		}
	}
	return found
}
