package rescueinit

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// The signals by which PID 1 is asked to end the system, as busybox init has them.
var endSignals = map[string]unix.Signal{
	"reboot":   unix.SIGTERM,
	"poweroff": unix.SIGUSR2,
	"halt":     unix.SIGUSR1,
}

// Signal asks the rescue system's first process to end it: name is
// "poweroff", "reboot" or "halt". It returns as soon as it has asked.
func Signal(name string) error {
	sig, ok := endSignals[name]
	if !ok {
		return fmt.Errorf("cannot end the system by %q: it is one of poweroff, reboot, halt", name)
	}
	if _, err := os.Stat(runDir + "/init"); err != nil {
		return fmt.Errorf("cannot %s: this is not the mkcdrec rescue system", name)
	}
	if err := unix.Kill(1, sig); err != nil {
		return fmt.Errorf("cannot ask the rescue system to %s: %w", name, err)
	}
	return nil
}

// EndName says whether a program name is one of the three, or shutdown.
func EndName(argv0 string) bool {
	base := path.Base(argv0)
	_, ok := endSignals[base]
	return ok || base == "shutdown"
}

// EndCommand is the command behind the names poweroff, reboot, halt and
// shutdown; it returns the exit code. With -f it does not ask: it syncs and
// calls the kernel.
func EndCommand(args []string, stderr io.Writer) int {
	name, force := path.Base(args[0]), false
	if name == "shutdown" {
		name = "poweroff"
	}
	for _, a := range args[1:] {
		switch {
		case a == "-f" || a == "--force":
			force = true
		case a == "-p" || a == "--poweroff" || a == "-P" || a == "-h":
			name = "poweroff"
		case a == "-r" || a == "--reboot":
			name = "reboot"
		case a == "--halt" || a == "-H":
			name = "halt"
		case a == "now" || a == "+0":
		case a == "--help":
			fmt.Fprintf(stderr, "usage: %s [-f]   end the rescue system (-f: at once, without unmounting)\n", path.Base(args[0]))
			return 0
		default:
			fmt.Fprintf(stderr, "error: %s: %s is not understood\n", path.Base(args[0]), strings.TrimSpace(a))
			return 2
		}
	}
	if err := Signal(name); err != nil {
		fmt.Fprintf(stderr, "error: %v\n", err)
		return 1
	}
	if force {
		unix.Sync()
		if err := unix.Reboot(rebootCommands[name]); err != nil {
			fmt.Fprintf(stderr, "error: cannot %s: %v\n", name, err)
			return 1
		}
	}
	return 0
}

var rebootCommands = map[string]int{
	"reboot":   unix.LINUX_REBOOT_CMD_RESTART,
	"poweroff": unix.LINUX_REBOOT_CMD_POWER_OFF,
	"halt":     unix.LINUX_REBOOT_CMD_HALT,
}
