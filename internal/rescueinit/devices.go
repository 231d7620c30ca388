package rescueinit

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// alwaysModules are loaded whatever hardware is seen: what no device asks for
// by itself, and what the medium may lie on. One that does not exist is no error.
var alwaysModules = []string{
	"loop", "isofs", "cdrom", "sr_mod", "sd_mod", "usb-storage", "uas", "dm-mod",
	"virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "af_packet", "evdev", "button", "efivarfs",
}

// maskedRules are udev rules that assemble arrays, activate volume groups or
// change settings of disks as soon as a device appears. A rescue system
// touches no disk unasked. (mdadm, lvm2, dmraid, bcache, vdo, hdparm, multipath.)
var maskedRules = []string{
	"64-md-raid-assembly.rules", "65-md-incremental.rules", "65-dmraid.rules", "97-dmraid.rules",
	"69-lvm.rules", "69-dm-lvm.rules", "69-dm-lvm-metad.rules", "69-lvm-metad.rules", "85-lvm2.rules",
	"69-bcache.rules", "69-vdo-start-by-dev.rules", "85-hdparm.rules", "60-multipath.rules",
}

// quietSubsystems have nothing to load and no links that a rescue needs; each
// of their dozens of devices would cost udev a process.
var quietSubsystems = []string{"tty", "vc", "mem", "cpu", "memory", "workqueue", "bdi", "msr", "cpuid", "vtconsole", "wakeup", "clocksource", "clockevents", "event_source", "machinecheck", "node", "iommu", "thermal"}

var udevPrograms = []string{"/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd", "/sbin/udevd", "/usr/sbin/udevd"}

// How long the prompt waits. The medium may still turn up later.
const (
	settleLimit     = 15 * time.Second
	mediumGrace     = 2 * time.Second // after all devices known at start were handled
	networkPatience = 3 * time.Second // for the banner only; DHCP goes on behind it
)

// devices finds the hardware, the medium and the network.
func (r *rescuer) devices() {
	settled := make(chan struct{})
	haveUdev := r.startUdev()
	r.guard("drivers", func() {
		defer close(settled)
		r.modprobe(alwaysModules)
		if haveUdev {
			r.triggerUdev()
			r.multipath()
		} else {
			r.loadByAlias()
		}
		r.log.kmsg("drivers loaded after %.1f s", uptime().Seconds())
	})
	r.guard("sshd", r.startSSH)
	found := make(chan struct{})
	r.guard("medium", func() { r.searchMedium(found) })

	select {
	case <-settled:
	case <-time.After(settleLimit):
		r.problem("some devices still do not answer after %d s", int(settleLimit.Seconds()))
	}
	network := make(chan struct{})
	r.guard("network", func() {
		defer close(network)
		r.network()
	})
	patience := time.After(networkPatience)
	select {
	case <-found:
	case <-time.After(mediumGrace):
		r.update(func(s *status) {
			s.MediumNote = "not found yet; it is mounted at " + MediumDir + " as soon as it appears"
		})
	}
	select {
	case <-network:
	case <-patience:
	}
}

// startUdev starts udevd with the dangerous rules masked; false: there is none.
func (r *rescuer) startUdev() bool {
	var program string
	for _, p := range udevPrograms {
		if _, err := os.Stat(p); err == nil {
			program = p
			break
		}
	}
	if _, err := exec.LookPath("udevadm"); err != nil || program == "" {
		r.log.logf("no udev on board: loading drivers by modalias")
		return false
	}
	// /etc/udev/rules.d goes before /run and /lib (udev(7)).
	if err := maskRules("/etc/udev/rules.d"); err != nil {
		r.problem("cannot mask udev rules, so udev is not started: %v", err)
		return false
	}
	out, err := r.kids.output(10*time.Second, program, "--daemon", "--resolve-names=never")
	if err != nil {
		r.problem("cannot start udev: %v %s", err, strings.TrimSpace(out))
		return false
	}
	return true
}

// maskRules makes every masked rule a link to /dev/null in dir.
func maskRules(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, n := range maskedRules {
		p := filepath.Join(dir, n)
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink("/dev/null", p); err != nil {
			return err
		}
	}
	return nil
}

func (r *rescuer) triggerUdev() {
	args := []string{"trigger", "--action=add", "--type=devices"}
	for _, s := range quietSubsystems {
		args = append(args, "--subsystem-nomatch="+s)
	}
	if out, err := r.kids.output(10*time.Second, "udevadm", args...); err != nil {
		r.problem("udevadm trigger: %v %s", err, strings.TrimSpace(out))
	}
	r.log.logf("udev triggered")
	if out, err := r.kids.output(settleLimit, "udevadm", "settle", "--timeout=14"); err != nil {
		r.log.logf("udevadm settle: %v %s", err, strings.TrimSpace(out))
	}
}

// modprobe loads modules by name or alias; those that do not exist are passed over.
func (r *rescuer) modprobe(names []string) {
	if len(names) == 0 {
		return
	}
	out, err := r.kids.output(30*time.Second, "modprobe", append([]string{"-a", "-q", "-b"}, names...)...)
	if err != nil {
		r.log.logf("modprobe: %v %s", err, strings.TrimSpace(out))
	}
}

// loadByAlias does what udev would: it loads what the devices in sysfs ask for, until
// the drivers loaded bring no new devices.
func (r *rescuer) loadByAlias() {
	done := map[string]bool{}
	for range 5 {
		var fresh []string
		for _, a := range modaliases(os.DirFS("/sys/devices")) {
			if !done[a] {
				done[a] = true
				fresh = append(fresh, a)
			}
		}
		if len(fresh) == 0 {
			return
		}
		r.modprobe(fresh)
		time.Sleep(200 * time.Millisecond)
	}
}

// modaliases collects the aliases in a tree such as /sys/devices, sorted, each once.
func modaliases(tree fs.FS) []string {
	seen := map[string]bool{}
	_ = fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "modalias" {
			return nil // a device that goes away while we look is none of our concern
		}
		if b, err := fs.ReadFile(tree, p); err == nil {
			if a := strings.TrimSpace(string(b)); a != "" {
				seen[a] = true
			}
		}
		return nil
	})
	var all []string
	for a := range seen {
		all = append(all, a)
	}
	sort.Strings(all)
	return all
}
