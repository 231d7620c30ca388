package vm

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// recipe is what distinguishes the fixtures; how their disks are laid out is
// in recipes/machines under the same name.
type recipe struct {
	firmware qemu.Firmware
	disks    []int64 // sizes in bytes
}

var recipes = map[string]recipe{
	"uefi-lvm":       {qemu.UEFI, []int64{5 << 30}},
	"bios-mbr":       {qemu.BIOS, []int64{4 << 30}},
	"uefi-btrfs":     {qemu.UEFI, []int64{4 << 30}},
	"uefi-lvm-thin":  {qemu.UEFI, []int64{5 << 30, 2 << 30}},
	"uefi-raid-lvm":  {qemu.UEFI, []int64{4608 << 20, 4608 << 20}},
	"uefi-btrfs-two": {qemu.UEFI, []int64{4160 << 20, 4096 << 20}},
	"uefi-luks-lvm":  {qemu.UEFI, []int64{4 << 30}},

	"uefi-systemd-boot": {qemu.UEFI, []int64{4 << 30}},
	"bios-extlinux":     {qemu.BIOS, []int64{4 << 30}},
}

// bases are the scripts of the fixtures' bases in recipes, without the ending,
// where it is not base.
var bases = map[string]string{"uefi-systemd-boot": "base-dracut", "bios-extlinux": "base-dracut"}

// builders are how the builder VM of a base is started with a script of the
// share "recipes".
var builders = map[string]string{
	"base":        `init=/bin/bash -- -c "mount -t 9p -o trans=virtio,ro recipes /in && exec bash /in/build.sh %s"`,
	"base-dracut": "init=/builder fixture=%s",
}

// cpus is one: two scenarios run at a time, and where emulated processors are
// more than real ones they wait for each other's locks.
const cpus = 1

// serial is what the serial numbers of the fixtures' disks begin with.
const serial = "FIXTURE"

// diskFile is where disk i of a machine lies: NAME.qcow2, NAME1.qcow2 ...
func diskFile(dir, name string, i int) string {
	if i > 0 {
		name += strconv.Itoa(i)
	}
	return filepath.Join(dir, name+".qcow2")
}

// disks are those of a machine with the name, on files in dir; their serial
// numbers are the prefix and a number from first on.
func (f *Fixture) disks(dir, name, prefix string, first int) []qemu.Disk {
	var out []qemu.Disk
	for i := range f.DiskSizes {
		out = append(out, qemu.Disk{Path: diskFile(dir, name, i), Serial: prefix + strconv.Itoa(first+i)})
	}
	return out
}

// blank makes the files of disks of the fixture's sizes, with nothing on them.
func (f *Fixture) blank(ctx context.Context, disks []qemu.Disk) error {
	for i, d := range disks {
		if err := qemu.CreateDisk(ctx, &system.Host{}, d.Path, f.DiskSizes[i], ""); err != nil {
			return err
		}
	}
	return nil
}

// Fixture is a machine made from Debian packages, powered off.
type Fixture struct {
	Name      string
	Firmware  qemu.Firmware
	DiskSizes []int64 // bytes
	Key       string  // private ssh key that opens root's account

	// dir has disk.qcow2, which is never written to again, and booted.qcow2 (see
	// Boot), each with one file more a further disk, and vars.qcow2.
	dir string
}

// snapshot is the name of the saved state of the running fixture.
const snapshot = "booted"

// Log takes a line about what a slow step does.
type Log func(format string, args ...any)

// MakeFixture takes a fixture from the cache or makes it, which takes some
// minutes. recipeDir is test/vm.
func MakeFixture(ctx context.Context, log Log, recipeDir, name string) (*Fixture, error) {
	r, ok := recipes[name]
	if !ok {
		return nil, fmt.Errorf("there is no fixture %q", name)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	baseName := cmp.Or(bases[name], "base")
	base, baseHash, err := makeBaseOf(ctx, log, recipeDir, cache, baseName)
	if err != nil {
		return nil, fmt.Errorf("cannot make the base of the fixtures: %w", err)
	}
	hash, err := hashFiles(baseHash, buildFiles(recipeDir, name)...)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(cache, name+".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	f := &Fixture{Name: name, Firmware: r.firmware, DiskSizes: r.disks, Key: filepath.Join(base, "key")}
	f.dir, err = cached(cache, name, hash, func(dir string) error {
		log("making the fixture %s", name)
		start := time.Now()
		f.dir = dir
		if err := f.build(ctx, recipeDir, base, fmt.Sprintf(builders[baseName], name)); err != nil {
			return err
		}
		log("the fixture %s was built in %s", name, time.Since(start).Round(time.Second))
		start = time.Now()
		if err := f.firstBoot(ctx); err != nil {
			return err
		}
		log("the fixture %s booted by its own boot loader and was saved in %s", name, time.Since(start).Round(time.Second))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the fixture %s: %w", name, err)
	}
	return f, nil
}

// cacheDir is where fixtures are kept between runs.
func cacheDir() (string, error) {
	dir := os.Getenv("MKCDREC_CACHE")
	if dir == "" {
		dir = "/var/cache/mkcdrec-test"
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// buildFiles is what a fixture is built by, beside the base.
func buildFiles(recipeDir, name string) []string {
	return []string{
		filepath.Join(recipeDir, "recipes/build.sh"), filepath.Join(recipeDir, "recipes/machines", name+".sh"),
		filepath.Join(recipeDir, "make-metadata-tree.sh"),
	}
}

// makeBase makes the base of most fixtures.
func makeBase(ctx context.Context, log Log, recipeDir, cache string) (dir, hash string, err error) {
	return makeBaseOf(ctx, log, recipeDir, cache, "base")
}

// makeBaseOf runs the script of a base.
func makeBaseOf(ctx context.Context, log Log, recipeDir, cache, name string) (dir, hash string, err error) {
	script := filepath.Join(recipeDir, "recipes", name+".sh")
	if hash, err = hashFiles(os.Getenv("MKCDREC_SUITE"), script); err != nil {
		return "", "", err
	}
	unlock, err := lock(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", "", err
	}
	defer unlock()
	dir, err = cached(cache, name, hash, func(dir string) error {
		log("making the base of the fixtures from Debian packages")
		start := time.Now()
		if err := makeKey(filepath.Join(dir, "key")); err != nil {
			return err
		}
		_, err := (&system.Host{}).Run(ctx, system.Command{
			Name: "bash", Args: []string{script, dir, filepath.Join(dir, "key.pub")},
			Env: []string{"MKCDREC_SUITE=" + os.Getenv("MKCDREC_SUITE")},
		})
		log("the base took %s", time.Since(start).Round(time.Second))
		return err
	})
	return dir, hash, err
}

// build makes the fixture's disk inside the builder VM: the kernel of this
// machine may lack LVM, vfat and partitions.
func (f *Fixture) build(ctx context.Context, recipeDir, base, init string) error {
	disks := f.disks(f.dir, "disk", serial, 0)
	if err := f.blank(ctx, disks); err != nil {
		return err
	}
	in := filepath.Join(f.dir, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(in)
	for _, path := range buildFiles(recipeDir, f.Name) {
		if err := copyFile(path, filepath.Join(in, filepath.Base(path))); err != nil {
			return err
		}
	}
	if err := fetchPackages(ctx, filepath.Join(recipeDir, "recipes/machines", f.Name+".sh"), in); err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, qemu.Config{
		Name: "builder of " + f.Name, Memory: 1024, CPUs: cpus, NoReboot: true,
		Kernel: filepath.Join(base, "vmlinuz"), Initrd: filepath.Join(base, "initrd.img"),
		Append:    "root=/dev/vda rw console=ttyS0,115200 quiet mitigations=off no_timer_check panic=-1 " + init,
		Disks:     append([]qemu.Disk{{Path: filepath.Join(base, "base.ext4"), Format: "raw", Snapshot: true}}, disks...),
		Shares:    []qemu.Share{{Path: in, Tag: "recipes", ReadOnly: true}},
		SerialLog: filepath.Join(f.dir, "builder.log"),
	})
	if err != nil {
		return err
	}
	defer vm.Kill()
	m, err := vm.WaitFor(ctx, `BUILDER: (done|failed)`, 30*time.Minute)
	if err != nil {
		return err
	}
	if m[1] == "failed" {
		return fmt.Errorf("the builder failed; its console:\n%s", vm.Console())
	}
	end, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return vm.Wait(end)
}

// config is the fixture as a virtual machine on these disks.
func (f *Fixture) config(disks []qemu.Disk, vars string) qemu.Config {
	return qemu.Config{
		Name: f.Name, Memory: 1024, CPUs: cpus, Firmware: f.Firmware, VarsPath: vars,
		Disks:   slices.Clone(disks),
		Network: &qemu.Network{},
	}
}

// firstBoot starts the new machine by its own boot loader through its
// firmware, waits for ssh, and keeps the running state, from which scenarios
// start in seconds.
func (f *Fixture) firstBoot(ctx context.Context) error {
	booted := f.disks(f.dir, "booted", serial, 0)
	for i, d := range booted {
		if err := qemu.CreateDisk(ctx, &system.Host{}, d.Path, 0, diskFile(f.dir, "disk", i)); err != nil {
			return err
		}
	}
	c := f.config(booted, filepath.Join(f.dir, "vars.qcow2"))
	c.SerialLog = filepath.Join(f.dir, "boot.log")
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return err
	}
	defer vm.Kill()
	if err := vm.WaitSSH(ctx, f.Key, 20*time.Minute); err != nil {
		return err
	}
	if _, err := vm.WaitFor(ctx, `login:`, 5*time.Minute); err != nil {
		return err
	}
	// What must not differ between runs, and settles only after the login.
	if _, err := vm.SSH(ctx, f.Key, "systemctl is-system-running --wait; sync", nil); err != nil {
		var e *qemu.SSHError
		if !errors.As(err, &e) { // "degraded" is an exit code
			return err
		}
	}
	if err := vm.SaveVM(ctx, snapshot); err != nil {
		return err
	}
	return vm.Quit(ctx)
}

// Boot continues the fixture from its running state on copies of its files in
// dir; ssh answers.
func (f *Fixture) Boot(ctx context.Context, dir string) (*qemu.VM, error) {
	disks, vars := f.disks(dir, f.Name, serial, 0), ""
	for i, d := range disks {
		if err := copyFile(diskFile(f.dir, "booted", i), d.Path); err != nil {
			return nil, err
		}
	}
	if f.Firmware != qemu.BIOS {
		vars = filepath.Join(dir, f.Name+"-vars.qcow2")
		if err := copyFile(filepath.Join(f.dir, "vars.qcow2"), vars); err != nil {
			return nil, err
		}
	}
	c := f.config(disks, vars)
	c.LoadVM = snapshot
	c.SerialLog = filepath.Join(dir, f.Name+".log")
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := vm.WaitSSH(ctx, f.Key, 10*time.Minute); err != nil {
		vm.Kill()
		return nil, err
	}
	return vm, nil
}

// cached is the directory of a thing with this hash; build fills
// it when it is not there or not complete. What a failed
// build has left stays in NAME.failed for people to look at.
func cached(cache, name, hash string, build func(dir string) error) (string, error) {
	dir := filepath.Join(cache, name+"-"+hash[:16])
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	failed := filepath.Join(cache, name+".failed")
	for _, old := range []string{failed, dir} {
		if err := os.RemoveAll(old); err != nil {
			return "", err
		}
	}
	// Built in its final place, because the overlay names its backing file; a
	// build that was interrupted is found by the missing mark.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := build(dir); err != nil {
		_ = os.Rename(dir, failed)
		return "", err
	}
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		return "", err
	}
	return dir, nil
}

// lock waits for the cache's lock, so that packages tested at the same time
// do not build the same thing.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// hashFiles is the hash of a seed and the contents of files.
func hashFiles(seed string, paths ...string) (string, error) {
	h := sha256.New()
	io.WriteString(h, seed)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "\n%s %d\n", filepath.Base(p), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// makeKey writes a new ssh key pair to path and path.pub.
func makeKey(path string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "mkcdrec test")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	return os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(k), 0o644)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
