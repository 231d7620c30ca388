package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/lvm"
)

// firmware are programs that write the variables of this machine's firmware. An
// image has no firmware; the machine that makes it keeps its own.
var firmware = []string{"efibootmgr", "efivar", "mokutil", "bootctl", "fw_setenv"}

// byName are programs that take mapped devices by their names alone.
var byName = []string{"dmsetup", "cryptsetup"}

// Confined is the runner for a restore into the images: the second guard,
// behind the plan's own. It refuses every program that is given a block device
// which does not stand on them, would mount or unmount outside of Root, or
// writes to this machine's firmware; LVM sees the images alone.
func (s *Set) Confined() system.Runner { return confined{s} }

type confined struct{ s *Set }

func (c confined) LookPath(name string) (string, error) { return c.s.run.LookPath(name) }

func (c confined) Run(ctx context.Context, cmd system.Command) (system.Result, error) {
	if err := c.s.allows(cmd); err != nil {
		return system.Result{}, fail.New(fail.Refused, "%s was not run: %w", system.Quote(cmd), err)
	}
	if cmd.Chroot == "" {
		cmd = lvm.Confine(cmd, c.s.visible())
	}
	return c.s.run.Run(ctx, cmd)
}

// visible are the names in /dev that LVM may look at: the images with their
// partitions, and what can stand on them and below a volume group.
func (s *Set) visible() []string {
	var out []string
	for _, name := range s.Devices() {
		out = append(out, name+"(p[0-9]+)?")
	}
	above, _ := filepath.Glob(filepath.Join(s.sys, "block/md*"))
	mapped, _ := filepath.Glob(filepath.Join(s.sys, "block/dm-*"))
	for _, dir := range append(above, mapped...) {
		if name := filepath.Base(dir); s.standsOn(name, 0) == nil {
			out = append(out, name+"(p[0-9]+)?")
		}
	}
	return out
}

// allows is the guard of one program.
func (s *Set) allows(c system.Command) error {
	program := path.Base(c.Name)
	if slices.Contains(firmware, program) && c.Chroot == "" {
		return errors.New("an image has no firmware, and this machine's is not for it")
	}
	if c.Chroot != "" && !s.inside(c.Chroot) {
		return errors.New("it would run outside of the restored system")
	}
	for _, arg := range c.Args {
		for _, name := range paths(arg) {
			if err := s.allowsDevice(name); err != nil {
				return err
			}
		}
		if slices.Contains(byName, program) && arg != "" && !strings.ContainsAny(arg, "/=") {
			if err := s.allowsDevice("/dev/mapper/" + arg); err != nil {
				return err
			}
		}
	}
	if program != "mount" && program != "umount" || c.Chroot != "" || len(c.Args) == 0 {
		return nil
	}
	if target := c.Args[len(c.Args)-1]; !s.inside(target) {
		return errors.New(target + " is outside of the restored system")
	}
	for _, arg := range c.Args {
		for _, tag := range []string{"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID="} {
			if strings.HasPrefix(arg, tag) {
				return errors.New("this machine's devices may have that name, too")
			}
		}
	}
	return nil
}

// inside says whether a path is where the restored system is mounted.
func (s *Set) inside(p string) bool {
	return s.Root != "" && (p == s.Root || p == s.Root+".top" || strings.HasPrefix(p, s.Root+"/")) && path.Clean(p) == p
}

// starts are what a path within an argument may stand behind: of=/dev/sda.
const starts = "=,: \t\"'|[("

// paths are all that could be a path within an argument: whatever it ends at.
// One too many does no harm: what is not there is no device.
func paths(arg string) []string {
	var out []string
	for i := range len(arg) {
		if arg[i] != '/' || i > 0 && !strings.ContainsRune(starts, rune(arg[i-1])) {
			continue
		}
		rest := arg[i:]
		out = append(out, rest)
		for j, r := range rest {
			if strings.ContainsRune(",: \t\"'|])$", r) {
				out = append(out, rest[:j])
			}
		}
	}
	return out
}

// allowsDevice refuses a block device that does not stand on the images. What
// is not there yet (an array, a volume) cannot be anybody's.
func (s *Set) allowsDevice(name string) error {
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG) {
		return nil
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil // /dev/null, /dev/zero, a directory
	}
	// By its number: a node can have any name.
	number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	dir, err := filepath.EvalSymlinks(filepath.Join(s.sys, "dev/block", number))
	if err != nil {
		return fail.New(fail.Refused, "%s is no device that the kernel knows", name)
	}
	return s.standsOn(filepath.Base(dir), 0)
}

// standsOn refuses a block device (kernel name) that stands on anything but the
// images of this run.
func (s *Set) standsOn(name string, depth int) error {
	other := fail.New(fail.Refused, "%s is no image of this run, and does not stand on one", name)
	if depth > 16 {
		return other
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(s.sys, "class/block", name))
	if err != nil {
		return other
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return s.standsOn(filepath.Base(filepath.Dir(dir)), depth+1)
	}
	if _, ok := s.owned[name]; ok {
		return s.Owns(name)
	}
	below, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil || len(below) == 0 {
		return other
	}
	for _, b := range below {
		if err := s.standsOn(b.Name(), depth+1); err != nil {
			return err
		}
	}
	return nil
}
