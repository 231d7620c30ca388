package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// luckLab is where bad luck is tried: the medium of a small machine with every
// layer (recipes/luck.sh), and its rescue system, saved at its prompt, from
// where each case starts in seconds. The disks are plugged in after that.
type luckLab struct {
	dir     string // medium.iso, vmlinuz, initrd, listing.txt
	work    string // tools.img, vars.qcow2 with the saved state, and what the cases make
	mkcdrec string // replaces the one on the medium, where that is an earlier one; "": it does not
}

// The small machine has two disks of this size; its encrypted device opens by
// this pass phrase.
const (
	luckSize   = 1 << 30
	luckPhrase = "correct horse"
)

// makeLuck makes the lab; the small machine is made of the fixtures' base. Its
// medium is kept beside the fixtures, by the hash of its recipe and of mkcdrec.
func makeLuck(ctx context.Context, log Log, recipeDir, mkcdrec, work string) (*luckLab, error) {
	l := &luckLab{work: work}
	if from := os.Getenv("MKCDREC_MEDIUM_FROM"); from != "" {
		l.dir, l.mkcdrec = from, mkcdrec
		log("the medium is an earlier one, from %s", from)
	} else if err := l.medium(ctx, log, recipeDir, mkcdrec); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := l.save(ctx, recipeDir); err != nil {
		return nil, err
	}
	log("%6s  its rescue system was started and saved", time.Since(start).Round(time.Second))
	return l, nil
}

// medium takes the medium of the small machine from the cache, or makes it.
func (l *luckLab) medium(ctx context.Context, log Log, recipeDir, mkcdrec string) error {
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	base, hash, err := makeBase(ctx, log, recipeDir, cache)
	if err != nil {
		return err
	}
	if hash, err = hashFiles(hash, mkcdrec, filepath.Join(recipeDir, "recipes/luck.sh"), filepath.Join(recipeDir, "recipes/listing.sh")); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(cache, "luck.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	l.dir, err = cached(cache, "luck", hash, func(dir string) error {
		// Those of an earlier mkcdrec are of no use any more.
		old, _ := filepath.Glob(filepath.Join(cache, "luck-*"))
		for _, o := range old {
			if o != dir {
				os.RemoveAll(o)
			}
		}
		l.dir = dir
		start := time.Now()
		err := l.backUp(ctx, recipeDir, base, mkcdrec)
		log("%6s  the small machine was made, and backed up from within", time.Since(start).Round(time.Second))
		return err
	})
	return err
}

func (l *luckLab) file(name string) string { return filepath.Join(l.dir, name) }

// backUp makes the small machine and its medium.
func (l *luckLab) backUp(ctx context.Context, recipeDir, base, mkcdrec string) error {
	for from, to := range map[string]string{mkcdrec: "mkcdrec", filepath.Join(recipeDir, "recipes/luck.sh"): "luck.sh", filepath.Join(recipeDir, "recipes/listing.sh"): "listing.sh"} {
		if err := copyFile(from, l.file(to)); err != nil {
			return err
		}
		if err := os.Chmod(l.file(to), 0o755); err != nil {
			return err
		}
	}
	disks := []qemu.Disk{{Path: filepath.Join(base, "base.ext4"), Format: "raw", Snapshot: true}}
	for i := range 2 {
		d := qemu.Disk{Path: l.file("original" + strconv.Itoa(i) + ".raw"), Format: "raw", Bus: qemu.SCSI, Serial: "LUCK" + strconv.Itoa(i)}
		if err := blankRaw(d.Path, luckSize); err != nil {
			return err
		}
		defer os.Remove(d.Path)
		disks = append(disks, d)
	}
	vm, err := qemu.Start(ctx, qemu.Config{
		Name: "the small machine", Memory: 2048, CPUs: 1, NoReboot: true, Firmware: qemu.UEFI,
		Kernel: filepath.Join(base, "vmlinuz"), Initrd: filepath.Join(base, "initrd.img"),
		Append: "root=/dev/vda rw console=ttyS0,115200 quiet mitigations=off no_timer_check panic=-1 init=/bin/bash -- -c " +
			`"mkdir -p /out; mount -t 9p -o trans=virtio,msize=1048576 out /out; exec bash /out/luck.sh"`,
		Disks:     disks,
		Shares:    []qemu.Share{{Path: l.dir, Tag: "out"}},
		SerialLog: l.file("backup.log"),
	})
	if err != nil {
		return err
	}
	defer vm.Kill()
	m, err := vm.WaitFor(ctx, `LUCK: (done|failed)`, 20*time.Minute)
	if err != nil {
		return err
	}
	if m[1] == "failed" {
		return fmt.Errorf("the small machine could not be made or backed up; its console:\n%s", vm.Console())
	}
	end, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return vm.Wait(end)
}

// blankRaw makes a disk that is all a hole.
func blankRaw(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size)
}

// luckAnswers name the disks of a case by their serial numbers.
const luckAnswers = `disks = ["serial:REPLACED1", "serial:REPLACED2"]
machine = "any"
luks_key = "/run/luck/key"
`

// tools makes the disc with what a case needs in the rescue system: an ext4, as
// one is made without root.
func (l *luckLab) tools(ctx context.Context, recipeDir string) error {
	dir, err := os.MkdirTemp(l.work, "tools-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"answers.toml": luckAnswers, "key": luckPhrase + "\n", "wrong": luckPhrase + "x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	files := map[string]string{l.file("listing.txt"): "listing.txt"}
	for _, name := range []string{"listing.sh", "check.sh", "old.sh"} {
		files[filepath.Join(recipeDir, "recipes", name)] = name
	}
	if l.mkcdrec != "" {
		files[l.mkcdrec] = "mkcdrec"
	}
	for from, to := range files {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			return err
		}
	}
	img := filepath.Join(l.work, "tools.img")
	os.Remove(img)
	out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", dir, img, "96M").CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make %s: %w: %s", img, err, out)
	}
	return nil
}

// config is the machine that the rescue system runs on: a controller without
// disks, and a place for its saved state in the firmware's variables.
func (l *luckLab) config(vars, log string) qemu.Config {
	return qemu.Config{
		Name: "rescue system", Memory: 1024, CPUs: 1, NoReboot: true, Firmware: qemu.UEFI, VarsPath: vars, SerialLog: log,
		Kernel: l.file("vmlinuz"), Initrd: l.file("initrd"),
		Append:    "console=tty0 console=ttyS0,115200 quiet mitigations=off no_timer_check rootfstype=ramfs mkcdrec.nonet",
		CDROMs:    []string{l.file("medium.iso"), filepath.Join(l.work, "tools.img")},
		ExtraArgs: []string{"-device", "virtio-scsi-pci,id=scsi"},
	}
}

// save starts the rescue system, brings the tools in and saves it.
func (l *luckLab) save(ctx context.Context, recipeDir string) error {
	if err := l.tools(ctx, recipeDir); err != nil {
		return err
	}
	vars := filepath.Join(l.work, "vars.qcow2")
	os.Remove(vars)
	vm, err := qemu.Start(ctx, l.config(vars, filepath.Join(l.work, "rescue.log")))
	if err != nil {
		return err
	}
	defer vm.Kill()
	if _, err := vm.WaitFor(ctx, promptOf, 4*time.Minute); err != nil {
		return err
	}
	r := &rescueVM{VM: vm}
	setUp := "modprobe sd_mod; mkdir -p /run/luck && mount -t ext4 -o ro,noload /dev/sr1 /mnt && cp /mnt/* /run/luck/ && umount /mnt"
	if l.mkcdrec != "" {
		setUp += " && m=$(readlink -f $(command -v mkcdrec)) && rm $m && cp /run/luck/mkcdrec $m && chmod 755 $m"
	}
	if out, code, err := r.run(ctx, setUp, 2*time.Minute); err != nil || code != 0 {
		return fmt.Errorf("cannot bring the tools in: exit %d (%w): %s", code, err, out)
	}
	if err := vm.SaveVM(ctx, snapshot); err != nil {
		return err
	}
	return vm.Quit(ctx)
}

// start continues the rescue system from its saved state, in a directory for
// what the case needs, and plugs the disks in.
func (l *luckLab) start(ctx context.Context, dir, name string, disks ...luckDisk) (*rescueVM, error) {
	vars := filepath.Join(dir, name+"-vars.qcow2")
	if err := copySparse(ctx, filepath.Join(l.work, "vars.qcow2"), vars); err != nil {
		return nil, err
	}
	c := l.config(vars, filepath.Join(dir, name+".log"))
	c.LoadVM = snapshot
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &rescueVM{VM: vm, vars: vars}
	for _, d := range disks {
		if err := r.plug(ctx, d); err != nil {
			r.cut()
			return nil, err
		}
	}
	wait := fmt.Sprintf(`date -s @%d >/dev/null; until [ $(ls /sys/block | grep -c ^sd) = %d ]; do sleep 0.1; done; udevadm settle`, time.Now().Unix(), len(disks))
	if out, code, err := r.run(ctx, wait, 2*time.Minute); err != nil || code != 0 {
		r.cut()
		return nil, fmt.Errorf("the disks did not appear: exit %d (%w): %s", code, err, out)
	}
	return r, nil
}

// copySparse copies a file and leaves its holes.
func copySparse(ctx context.Context, from, to string) error {
	_, err := (&system.Host{}).Run(ctx, system.Command{Name: "cp", Args: []string{"--sparse=always", from, to}})
	return err
}

// luckDisk is one disk of a case, a raw file.
type luckDisk struct {
	path   string
	serial string
	// faults are rules of QEMU's blkdebug driver (inject-error) between the disk
	// and its file; nil: it is sound.
	faults []map[string]any
}

// rescueVM is a rescue system at its prompt.
type rescueVM struct {
	*qemu.VM
	vars  string
	disks int
}

// plug puts a disk in, while the machine runs.
func (r *rescueVM) plug(ctx context.Context, d luckDisk) error {
	id := "luck" + strconv.Itoa(r.disks)
	r.disks++
	file := map[string]any{"driver": "file", "filename": d.path, "cache": map[string]any{"no-flush": true}}
	if d.faults != nil {
		file = map[string]any{"driver": "blkdebug", "image": file, "inject-error": d.faults}
	}
	if _, err := r.QMP(ctx, "blockdev-add", map[string]any{"node-name": id, "driver": "raw", "file": file, "discard": "unmap"}); err != nil {
		return err
	}
	device := map[string]any{"driver": "scsi-hd", "id": "dev-" + id, "bus": "scsi.0", "drive": id}
	if d.serial != "" {
		device["serial"] = d.serial
	}
	_, err := r.QMP(ctx, "device_add", device)
	return err
}

// unplug takes the disk out that was plugged in as that, from 0 on.
func (r *rescueVM) unplug(ctx context.Context, disk int) error {
	_, err := r.QMP(ctx, "device_del", map[string]any{"id": "dev-luck" + strconv.Itoa(disk)})
	return err
}

// cut takes the power away.
func (r *rescueVM) cut() {
	r.Kill()
	if r.vars != "" {
		os.Remove(r.vars) // it has the memory, too
	}
}

// run types a command, and returns what it said and its exit code.
func (r *rescueVM) run(ctx context.Context, command string, limit time.Duration) (out string, code int, err error) {
	if err := r.begin(command); err != nil {
		return "", 0, err
	}
	return r.end(ctx, limit)
}

// begin types a command; the echo of what is typed must not look like its end.
func (r *rescueVM) begin(command string) error {
	return r.Send("echo BE''GIN; " + command + "; echo EN''D=$?\n")
}

// end waits for the command's end.
func (r *rescueVM) end(ctx context.Context, limit time.Duration) (out string, code int, err error) {
	m, err := r.WaitFor(ctx, `(?s)(.*?)\nEND=(\d+)\n`, limit)
	if err != nil {
		return "", 0, err
	}
	code, err = strconv.Atoi(m[2])
	return m[1], code, err
}
