package rescue

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// fakeModules is a root with modules a -> b -> c and d, which stands alone.
// The test binary is an ELF file without .modinfo: a module that names nothing.
func fakeModules(t *testing.T) *modules {
	t.Helper()
	root := t.TempDir()
	dir := "/lib/modules/6.1.0"
	write(t, root, dir+"/modules.dep", "kernel/a.ko: kernel/b.ko kernel/c-x.ko\nkernel/b.ko: kernel/c-x.ko\nkernel/c-x.ko:\nkernel/d.ko:\n")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, dir, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a", "b", "c-x", "d"} {
		if err := os.Symlink(self, filepath.Join(root, dir, "kernel", n+".ko")); err != nil {
			t.Fatal(err)
		}
	}
	m, err := readModules(NewTree(root), Kernel{Version: "6.1.0", Modules: dir})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestChooseModules(t *testing.T) {
	for _, c := range []struct {
		what            string
		set             ModuleSet
		extra, excluded []string
		want            []string
	}{
		{"all", AllModules, nil, nil, []string{"kernel/a.ko", "kernel/b.ko", "kernel/c-x.ko", "kernel/d.ko"}},
		{"with dependencies", HostModules, []string{"b"}, nil, []string{"kernel/b.ko", "kernel/c-x.ko"}},
		{"what needs an excluded one goes with it", AllModules, nil, []string{"c_x"}, []string{"kernel/d.ko"}},
		{"what it needs stays", AllModules, nil, []string{"a"}, []string{"kernel/b.ko", "kernel/c-x.ko", "kernel/d.ko"}},
		{"excluded goes before wanted", HostModules, []string{"a", "d"}, []string{"b"}, []string{"kernel/d.ko"}},
	} {
		files, _, unknown, err := fakeModules(t).choose(c.set, nil, c.extra, c.excluded)
		if err != nil || len(unknown) > 0 || !slices.Equal(files, c.want) {
			t.Errorf("%s: %v, unknown %v, %v; want %v", c.what, files, unknown, err, c.want)
		}
	}
	if _, _, unknown, _ := fakeModules(t).choose(HostModules, nil, []string{"zz"}, nil); !slices.Equal(unknown, []string{"zz"}) {
		t.Errorf("unknown modules: %v", unknown)
	}
}

// What the machine uses is what is loaded, and what its devices and file
// systems would load if they were not built into the kernel that runs.
func TestUsedModules(t *testing.T) {
	m := fakeModules(t)
	root := m.tree.Root
	write(t, root, "/proc/modules", "tun 61440 2 vhost_net, Live 0x0\nc_x 1 0 - Live 0x0\n")
	write(t, root, "/lib/modules/6.1.0/modules.alias", "# Aliases\nalias pci:v00008086d00001533sv*sd*bc*sc*i* igb\nalias pci:v00008086d00001534sv*sd*bc*sc*i* other\n"+
		"alias pci:v*d*sv*sd*bc01sc06i01* ahci\nalias virtio:d00000002v* virtio_blk\nalias dmi*:svnA/B* slash\nalias fs-xfs xfs\nalias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage\n")
	for dev, alias := range map[string]string{"pci/devices/1": "pci:v00008086d00001533sv0sd0bc02sc00i00", "pci/devices/2": "pci:v00001AF4d1sv0sd0bc01sc06i01", "virtio/devices/0": "virtio:d00000002v00001AF4", "dmi/devices/id": "dmi:bvnX:svnA/B:pn"} {
		write(t, root, "/sys/bus/"+dev+"/modalias", alias+"\n")
	}
	got, err := m.usedModules(machine.Machine{FileSystems: []machine.FileSystem{{Kind: "xfs"}}, VolumeGroups: []machine.VolumeGroup{{Name: "vg"}},
		Crypts: []machine.Crypt{{Cipher: "serpent-cbc-essiv:sha256"}}, Arrays: []machine.Array{{}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tun", "c_x", "igb", "ahci", "virtio_blk", "slash", "xfs", "dm-mod", "raid1", "raid456", "dm-crypt", "serpent", "cbc", "essiv", "sha256-generic"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not used: %v", want, got)
		}
	}
	for _, not := range []string{"other", "usb_storage"} {
		if slices.Contains(got, not) {
			t.Errorf("%s is used: %v", not, got)
		}
	}
}

// Graphics with firmware, sound and radio stay out although they are in use,
// unless the settings ask for them; dependencies and firmware follow.
func TestChooseLeavesOutLuxury(t *testing.T) {
	needGCC(t)
	root := t.TempDir()
	dir := "/lib/modules/6.1.0"
	modules := map[string]string{
		"kernel/drivers/gpu/drm/big/big.ko":       `firmware=big.bin`,
		"kernel/drivers/gpu/drm/small/small.ko":   `license=GPL`,
		"kernel/sound/core/snd.ko":                `firmware=snd.bin`,
		"kernel/drivers/net/ethernet/x/card.ko":   `firmware=card.bin\0softdep=pre: helper`,
		"kernel/drivers/net/phy/helper.ko":        `license=GPL`,
		"kernel/drivers/net/wireless/air/air.ko":  `firmware=air.bin`,
		"updates/dkms/nvidia-modeset.ko":          `license=NVIDIA`,
		"kernel/drivers/net/ethernet/y/absent.ko": `firmware=absent.bin`,
	}
	deps, used := "", []string{}
	for f, info := range modules {
		at := filepath.Join(root, dir, f)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		tool(t, `static const char info[] __attribute__((used, section(".modinfo"))) = "`+info+`";`, "gcc", "-c", "-x", "c", "-", "-o", at)
		deps += f + ":\n"
		if name := moduleName(f); name != "helper" {
			used = append(used, name)
		}
	}
	write(t, root, dir+"/modules.dep", deps)
	for _, f := range []string{"big.bin", "card.bin", "snd.bin", "air.bin"} {
		write(t, root, "/lib/firmware/"+f, "firmware")
	}
	m, err := readModules(NewTree(root), Kernel{Version: "6.1.0", Modules: dir})
	if err != nil {
		t.Fatal(err)
	}
	files, firmware, _, err := m.choose(HostModules, used, nil, nil)
	want := []string{"kernel/drivers/gpu/drm/small/small.ko", "kernel/drivers/net/ethernet/x/card.ko", "kernel/drivers/net/ethernet/y/absent.ko", "kernel/drivers/net/phy/helper.ko"}
	if err != nil || !slices.Equal(files, want) || !slices.Equal(firmware, []string{"absent.bin", "card.bin"}) {
		t.Errorf("%v, firmware %v, %v", files, firmware, err)
	}
	missing, err := m.addModules(files, firmware)
	if err != nil || !slices.Equal(missing, []string{"absent.bin"}) || !m.tree.Has("/lib/firmware/card.bin") || m.tree.Has("/lib/firmware/big.bin") {
		t.Errorf("missing firmware %v, %v", missing, err)
	}
	if files, firmware, _, err = m.choose(HostModules, used, []string{"big"}, nil); err != nil || !slices.Contains(files, "kernel/drivers/gpu/drm/big/big.ko") || !slices.Contains(firmware, "big.bin") {
		t.Errorf("asked for: %v, firmware %v, %v", files, firmware, err)
	}
}

// The generic set of a real kernel has what other hardware asks for: disks,
// network cards, USB, keyboards, virtual machines and file systems.
func TestGenericModulesOfRealKernel(t *testing.T) {
	kernels := InstalledKernels("/")
	if len(kernels) == 0 {
		t.Skip("needs an installed kernel (package linux-image-amd64)")
	}
	m, err := readModules(NewTree("/"), kernels[0])
	if err != nil {
		t.Fatal(err)
	}
	files, _, _, err := m.choose(GenericModules, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	here := 0
	for _, n := range strings.Fields(`ahci ata_piix nvme nvme_tcp virtio_blk virtio_scsi virtio_net virtio_pci mptspi mptsas mpt3sas megaraid_sas megaraid_mbox hpsa aacraid smartpqi arcmsr 3w_sas
		qla2xxx lpfc isci pm80xx mvsas ips sym53c8xx BusLogic iscsi_tcp st sg sr_mod sd_mod vmd sdhci_pci mmc_block ufshcd_core floppy
		hv_storvsc hv_netvsc hyperv_keyboard xen_blkfront xen_netfront vmw_pvscsi vmxnet3 ena gve
		e1000 e1000e igb igc ixgbe i40e ice tg3 bnx2 bnx2x bnxt_en be2net mlx4_en mlx5_core cxgb4 qede sfc atlantic r8169 8139cp 8139too forcedeth sky2 atl1c via_rhine pcnet32 ne2k_pci
		r8152 ax88179_178a asix cdc_ether smsc95xx usbnet bonding 8021q bridge team macvlan tun
		xhci_pci ehci_pci ohci_pci uhci_hcd usb_storage uas usbhid hid_generic hid_apple hid_logitech_dj atkbd psmouse evdev usbserial ftdi_sio pl2303
		ext4 xfs btrfs vfat exfat isofs udf squashfs nfs nfsv3 nfsv4 cifs ntfs3 f2fs jfs fuse overlay 9p nls_cp437 nls_iso8859_1 efivarfs
		loop nbd dm_mod dm_crypt dm_snapshot dm_thin_pool dm_raid dm_multipath dm_integrity dm_cache raid0 raid1 raid10 raid456 linear bcache
		tpm_tis ipmi_si softdog virtio_rng zstd lzo crc32c_generic aesni_intel xts`) {
		f, ok := m.file[moduleName(n)]
		if !ok {
			continue // built in, or not of this kernel
		}
		here++
		if !slices.Contains(files, f) {
			t.Errorf("%s is not in the generic set", f)
		}
	}
	if here < 100 {
		t.Errorf("looked at %d modules of %s only", here, kernels[0].Version)
	}
}

// "AUTO -all", which would keep udev from starting arrays, keeps the
// administrator from it, too: mdadm --assemble --scan then finds none.
func TestArraysStartByHandOnly(t *testing.T) {
	if conf := made["/etc/mdadm/mdadm.conf"]; strings.Contains(conf, "AUTO") || !strings.Contains(conf, "HOMEHOST <ignore>") {
		t.Errorf("mdadm.conf: %q", conf)
	}
	if !strings.Contains(made["/etc/modprobe.d/mkcdrec.conf"], "start_ro=1") {
		t.Error("arrays do not start read-only")
	}
	for _, r := range udevRules {
		if strings.Contains(r, "assembly") || strings.Contains(r, "incremental") {
			t.Errorf("rule %s starts arrays", r)
		}
	}
}
