package rescueinit

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// listenForEnd turns signals and Ctrl-Alt-Del into an orderly end.
func (r *rescuer) listenForEnd() {
	// The kernel then sends SIGINT to PID 1 instead of rebooting hard.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		r.log.logf("cannot take over Ctrl-Alt-Del: %v", err)
	}
	got := make(chan os.Signal, 4)
	signal.Notify(got, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR)
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU)
	r.guard("signals", func() {
		for s := range got {
			how := "reboot"
			for name, sig := range endSignals {
				if s == sig {
					how = name
				}
			}
			if s == unix.SIGPWR {
				how = "poweroff"
			}
			go r.end(how)
		}
	})
}

// waitWhileEnding blocks for ever once the system is about to end, so that no new shell
// appears.
func (r *rescuer) waitWhileEnding() {
	if r.ending.Load() != 0 {
		select {}
	}
}

// end ends the system in order: processes, swap, mounts, volumes, reboot(2).
// A second request while that hangs goes straight to the kernel.
func (r *rescuer) end(how string) {
	if n := r.ending.Add(1); n > 1 {
		r.say("asked again: not waiting any longer")
		unix.Sync()
		_ = unix.Reboot(rebootCommands[how])
		return
	}
	words := map[string]string{"reboot": "restarting", "poweroff": "powering off", "halt": "halting"}
	r.say("%s: stopping programs, unmounting", words[how])
	r.log.kmsg("%s", words[how])
	func() {
		// Whatever goes wrong here, the machine still has to end.
		defer func() {
			if p := recover(); p != nil {
				r.say("trouble while ending: %v", p)
			}
		}()
		stopProcesses()
		for _, problem := range r.release() {
			r.say("%s", problem)
		}
	}()
	unix.Sync()
	r.say("%s now", words[how])
	// A serial line at 9600 baud needs a moment for that line.
	time.Sleep(100 * time.Millisecond)
	err := unix.Reboot(rebootCommands[how])
	r.say("cannot %s: %v; press the reset button", how, err)
	select {}
}

// stopProcesses asks every other process to end and kills those that do not.
func stopProcesses() {
	// Interactive shells ignore SIGTERM and obey SIGHUP.
	for _, s := range []unix.Signal{unix.SIGCONT, unix.SIGTERM, unix.SIGHUP} {
		_ = unix.Kill(-1, s)
	}
	for limit := time.Now().Add(4 * time.Second); time.Now().Before(limit) && userProcesses() > 0; {
		time.Sleep(50 * time.Millisecond)
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	for limit := time.Now().Add(time.Second); time.Now().Before(limit) && userProcesses() > 0; {
		time.Sleep(20 * time.Millisecond)
	}
}

// userProcesses counts the processes besides us that are not kernel threads.
func userProcesses() int {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	n := 0
	for _, d := range dirs {
		if d == "/proc/1/cmdline" {
			continue
		}
		// A kernel thread and a zombie have an empty command line.
		if b, err := os.ReadFile(d); err == nil && len(b) > 0 {
			n++
		}
	}
	return n
}

// release gives back what was taken in use by hand or by a restore: swap,
// mounts, volume groups, arrays. The answers are the problems met.
func (r *rescuer) release() []string {
	var problems []string
	if b, err := os.ReadFile("/proc/swaps"); err == nil {
		for _, s := range swapsIn(string(b)) {
			if err := swapoff(s); err != nil {
				problems = append(problems, fmt.Sprintf("cannot switch off swap %s: %v", s, err))
			}
		}
	}
	// Devices lie on one another in any order (a file system on LVM on LUKS
	// on RAID, a loop device in it): a few rounds, each from the top.
	var left []string
	for range 4 {
		left = unmountAll()
		if !r.stopVolumes() && len(left) == 0 {
			break
		}
	}
	for _, m := range left {
		if err := unix.Mount("", m, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			problems = append(problems, fmt.Sprintf("cannot unmount %s, nor make it read-only: %v", m, err))
		}
	}
	return problems
}

// unmountAll unmounts everything on block devices, overlays and networks, last mounted
// first, and returns what would not go.
func unmountAll() []string {
	all, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil
	}
	var left []string
	for _, m := range mountsToRelease(all) {
		if err := unix.Unmount(m, 0); err != nil && err != unix.EINVAL {
			left = append(left, m)
		}
	}
	return left
}

// mountsToRelease lists mount points in the order to unmount them. The rescue
// system's own stay.
func mountsToRelease(all []*mountinfo.Info) []string {
	var points []string
	for _, m := range slices.Backward(all) {
		own := m.Mountpoint == "/" || slices.ContainsFunc(kernelMounts, func(k kernelMount) bool { return k.target == m.Mountpoint })
		if !own {
			points = append(points, m.Mountpoint)
		}
	}
	return points
}

// swapsIn lists the devices and files of /proc/swaps.
func swapsIn(table string) []string {
	var swaps []string
	for i, l := range strings.Split(table, "\n") {
		if f := strings.Fields(l); i > 0 && len(f) > 1 {
			swaps = append(swaps, unescapeOctal(f[0]))
		}
	}
	return swaps
}

func unescapeOctal(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// stopVolumes deactivates device-mapper volumes and arrays, if there are
// any, and says whether there were.
func (r *rescuer) stopVolumes() bool {
	dm, _ := filepath.Glob("/sys/block/dm-*")
	md, _ := filepath.Glob("/sys/block/md*")
	if len(dm) > 0 {
		// udev has ended: --noudevsync, else LVM waits for it.
		out, err := r.kids.output(20*time.Second, "vgchange", "-an", "--noudevsync")
		r.log.logf("vgchange -an: %v %s", err, out)
		for _, d := range dm {
			uuid, _ := os.ReadFile(d + "/dm/uuid")
			name, _ := os.ReadFile(d + "/dm/name")
			if strings.HasPrefix(string(uuid), "CRYPT-") {
				out, err := r.kids.output(20*time.Second, "cryptsetup", "close", strings.TrimSpace(string(name)))
				r.log.logf("cryptsetup close: %v %s", err, out)
			}
		}
	}
	if len(md) > 0 {
		out, err := r.kids.output(20*time.Second, "mdadm", "--stop", "--scan")
		r.log.logf("mdadm --stop: %v %s", err, out)
	}
	return len(dm)+len(md) > 0
}

// say prints a line of ours on every console.
func (r *rescuer) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.log.logf("%s", text)
	// A console that blocks (a serial line held by flow control) must not
	// hold up the rest.
	done := make(chan bool)
	go func() {
		_, _ = io.WriteString(r.cons, "\nmkcdrec: "+text+"\n")
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
}
