package rescueinit

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// memory reads the total and the available memory from /proc/meminfo.
func memory() (total, free machine.Bytes) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		var kib int64
		if n, _ := fmt.Sscanf(l, "MemTotal: %d kB", &kib); n == 1 {
			total = machine.Bytes(kib << 10)
		}
		if n, _ := fmt.Sscanf(l, "MemAvailable: %d kB", &kib); n == 1 {
			free = machine.Bytes(kib << 10)
		}
	}
	return total, free
}

// diskNames lists the disks below sysBlock (/sys/block) with their sizes:
// "vda 21 GB". Optical drives, loop devices and RAM disks are no disks.
func diskNames(sysBlock fs.FS) []string {
	entries, _ := fs.ReadDir(sysBlock, ".")
	var disks []string
	for _, e := range entries {
		n := e.Name()
		if _, err := fs.Stat(sysBlock, n+"/device"); err != nil || strings.HasPrefix(n, "sr") || strings.HasPrefix(n, "fd") {
			continue
		}
		b, err := fs.ReadFile(sysBlock, n+"/size")
		if err != nil {
			continue
		}
		sectors, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || sectors == 0 {
			continue // a card reader without a card
		}
		disks = append(disks, n+" "+diskSize(machine.Bytes(sectors*512)))
	}
	sort.Strings(disks)
	return disks
}

// consoleLevel sets which kernel messages reach the consoles: those more
// urgent than level (syslog(2), SYSLOG_ACTION_CONSOLE_LEVEL).
func consoleLevel(level int) error {
	const actionConsoleLevel = 8
	var none [1]byte
	if _, _, errno := unix.Syscall(unix.SYS_SYSLOG, actionConsoleLevel, uintptr(unsafe.Pointer(&none)), uintptr(level)); errno != 0 {
		return errno
	}
	return nil
}

// loadKeymap sets the keyboard of the recorded machine.
func (r *rescuer) loadKeymap() {
	k := r.snapshot().Identity.Settings.Keymap
	if k == "" || k == "us" {
		return
	}
	if _, err := exec.LookPath("loadkeys"); err != nil {
		r.problem("keyboard is us: there is no loadkeys on board to load %s", k)
		return
	}
	if out, err := r.kids.output(5*time.Second, "loadkeys", "-q", k); err != nil {
		r.problem("keyboard is us: cannot load %s: %v %s", k, err, strings.TrimSpace(out))
	}
}
