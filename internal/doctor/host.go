package doctor

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// host checks who runs this, and on what.
func host(_ context.Context, e *environment) []Check {
	checks := []Check{
		{Name: "root", Status: passed(os.Geteuid() == 0), Needed: true, Detail: "needed to read every file and disk"},
		{Name: "architecture", Status: passed(e.Machine.Arch == "amd64"), Needed: true, Detail: e.Machine.Arch + "; media are made for amd64"},
	}
	level := Check{Name: "CPU level", Status: NotApplicable, Detail: "not known"}
	if n := e.Machine.CPU.Level; n > 0 {
		level.Status, level.Detail = Found, fmt.Sprintf("x86-64-v%d; the medium runs on any x86-64 that this distribution runs on", n)
	}
	checks = append(checks, level)
	se := Check{Name: "SELinux", Status: NotApplicable, Detail: "not enabled"}
	if b, err := os.ReadFile(e.path("/sys/fs/selinux/enforce")); err == nil {
		se.Status, se.Detail = Found, "permissive; labels are backed up"
		if strings.TrimSpace(string(b)) == "1" {
			se.Detail = "enforcing; labels are backed up"
		}
	}
	return append(checks, se)
}

// kernel checks the kernel that the medium gets.
func kernel(_ context.Context, e *environment) []Check {
	k, err := rescue.FindKernel(e.Root, e.Machine.Kernel, e.Kernel)
	if err != nil {
		missing := Check{Name: "kernel with modules", Status: NotFound, Needed: true, Packages: []string{rescue.KernelPackage(e.family)},
			Detail: "needed to start the medium; install " + rescue.KernelPackage(e.family)}
		return []Check{missing, {Name: "kernel unpacks zstd initramfs", Status: NotApplicable, Detail: "no kernel"}}
	}
	e.kernel = &k
	detail := k.Version
	if k.Version != e.Machine.Kernel {
		detail += fmt.Sprintf(" (the running one, %s, is not installed with its modules)", e.Machine.Kernel)
	}
	return []Check{{Name: "kernel with modules", Status: Found, Needed: true, Detail: detail}, initramfsSupport(e, k)}
}

// initramfsSupport looks into the kernel's configuration for CONFIG_RD_ZSTD.
func initramfsSupport(e *environment, k rescue.Kernel) Check {
	c := Check{Name: "kernel unpacks zstd initramfs", Needed: true, Status: NotApplicable, Detail: "no configuration of the kernel is here to look into"}
	for _, p := range []string{"/boot/config-" + k.Version, "/lib/modules/" + k.Version + "/config", "/proc/config.gz"} {
		if p == "/proc/config.gz" && k.Version != e.Machine.Kernel {
			continue
		}
		f, err := os.Open(e.path(p))
		if err != nil {
			continue
		}
		defer f.Close()
		var r io.Reader = f
		if strings.HasSuffix(p, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				continue
			}
		}
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if lines.Text() == "CONFIG_RD_ZSTD=y" {
				c.Status, c.Detail = Passed, p
				return c
			}
		}
		c.Status, c.Detail = NotFound, p+" has no CONFIG_RD_ZSTD=y"
		return c
	}
	return c
}

// findings checks that everything seen on this machine can be rebuilt. The
// backup refuses what cannot, unless the settings leave it out by name.
func findings(_ context.Context, e *environment) []Check {
	var all []Check
	for _, f := range e.Machine.Findings {
		if !f.Blocking {
			continue
		}
		c := Check{Name: "can be rebuilt: " + f.Name, Status: NotFound, Needed: true, Detail: f.What + "; " + f.Todo}
		if slices.Contains(e.Exclude, f.Name) {
			c.Needed, c.Detail = false, "left out of the backup by name (settings: exclude): "+f.What
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		all = append(all, Check{Name: "all storage can be rebuilt", Status: passed(len(e.Machine.FileSystems) > 0),
			Detail: fmt.Sprintf("disks: %d, file systems: %d", len(e.Machine.Disks), len(e.Machine.FileSystems))})
	}
	root := Check{Name: "the root file system is on a disk", Status: NotFound, Needed: true, Detail: "an overlay, a loop device or a network; no medium can bring that back"}
	if m := e.Machine.MountAt("/"); m != nil && e.Machine.FileSystemOn(m.On) != nil {
		root.Status, root.Detail = Passed, string(m.On)
	}
	return append(all, root)
}

// memory says how much there is; what the medium needs is known when it is made.
func memory(_ context.Context, e *environment) []Check {
	const least = machine.Bytes(512 << 20)
	return []Check{{Name: "memory", Status: passed(e.Machine.Memory >= least*9/10), Detail: fmt.Sprintf("%s; the rescue system runs in %s", machine.Human(e.Machine.Memory), machine.Human(least))}}
}
