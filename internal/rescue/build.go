package rescue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// DefaultLevel is the zstd level of the initramfs. Of 245 MB, two CPUs made
// 79.7 MB in 0.6 s at level 3, 74.1 MB in 1.5 s at 6, 71.6 MB in 2.7 s at 9,
// and 71.0 MB in 6.2 s at 12: beyond 6 it is small change.
const DefaultLevel = 6

// Result is a finished rescue system.
type Result struct {
	InitramfsPath string        `json:"initramfs"`
	KernelPath    string        `json:"kernel"`
	KernelVersion string        `json:"kernel_version"`
	Size          machine.Bytes `json:"size"`          // of the initramfs
	UnpackedSize  machine.Bytes `json:"unpacked_size"` // of its files
	MemoryNeeded  machine.Bytes `json:"memory_needed"`
	Modules       int           `json:"modules"`
	Programs      []Installed   `json:"programs"`
	Warnings      []string      `json:"warnings,omitempty"`
	Notes         []string      `json:"notes,omitempty"` // what is not as on this machine, and is no fault
}

// Build gathers, checks and packs the rescue system of a machine into
// WorkDir/initramfs.img. What it made besides is removed again.
func Build(ctx context.Context, r system.Runner, m machine.Machine, o Options) (res Result, err error) {
	if o.WorkDir == "" {
		if o.WorkDir, err = os.MkdirTemp("/var/tmp", "mkcdrec-rescue-"); err != nil {
			return res, fmt.Errorf("cannot make a work directory: %w", err)
		}
	}
	stage, err := os.MkdirTemp(o.WorkDir, "stage-")
	if err != nil {
		return res, fmt.Errorf("cannot make a stage for the rescue system: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	c, err := gatherWhatRuns(ctx, r, m, o, stage)
	if err != nil {
		return res, err
	}
	o.progress("indexing modules", 0, 0)
	if err := c.depmod(ctx, r, stage); err != nil {
		return res, err
	}
	id := c.Identity
	id.Kernel = c.Kernel.Version
	id.MemoryNeeded = memoryNeeded(c.Tree.Size())
	if err := addIdentity(c.Tree, id); err != nil {
		return res, err
	}
	o.progress("looking for private keys", 0, 0)
	if err := screen(ctx, c.Tree, o.PrivateKeys); err != nil {
		return res, err
	}
	mtime := o.SourceDate
	if mtime.IsZero() {
		mtime = o.Identity.Made
	}
	if mtime.IsZero() {
		mtime = time.Unix(0, 0)
	}
	o.progress("packing", 0, 0)
	out := filepath.Join(o.WorkDir, "initramfs.img")
	size, err := pack(ctx, out, c.Tree, mtime, o.Level)
	if err != nil {
		return res, err
	}
	return Result{
		InitramfsPath: out, KernelPath: c.Tree.host(c.Kernel.Image), KernelVersion: c.Kernel.Version, Size: size, UnpackedSize: c.Tree.Size(),
		MemoryNeeded: id.MemoryNeeded, Modules: len(c.Modules), Programs: c.Programs, Warnings: c.Warnings, Notes: c.Notes,
	}, nil
}

// gatherWhatRuns gathers the contents and tries the programs. What is optional
// and does not run is left out, and all is gathered anew: so nothing stays that
// only it needed, and what can stand in for it does.
func gatherWhatRuns(ctx context.Context, r system.Runner, m machine.Machine, o Options, stage string) (Contents, error) {
	o.without = map[string]bool{}
	var warnings []string
	for {
		c, err := Gather(ctx, r, m, o)
		if err != nil {
			return c, err
		}
		root := filepath.Join(stage, "root")
		left, err := c.tryPrograms(ctx, r, root, func(done, total int) { o.progress("trying programs", done, total) })
		if err := errors.Join(err, os.RemoveAll(root)); err != nil {
			return c, err
		}
		if len(left) == 0 {
			c.Warnings = append(c.Warnings, warnings...)
			return c, nil
		}
		for _, p := range slices.Sorted(maps.Keys(left)) {
			o.without[p] = true
			warnings = append(warnings, fmt.Sprintf("%s is left out, it does not work in the rescue system: %v", p, left[p]))
		}
	}
}

// memoryNeeded is how much memory a machine must have to run a rescue system
// whose files have a size: the files, a third of that for their packed form
// while it is unpacked, and 150 MiB for the kernel and to work in. Rounded up to 32 MiB.
func memoryNeeded(unpacked machine.Bytes) machine.Bytes {
	const step = 32 << 20
	n := unpacked + unpacked/3 + 150<<20
	return (n + step - 1) / step * step
}

// pack writes the initramfs under a temporary name and renames it when it is whole.
func pack(ctx context.Context, out string, t *Tree, mtime time.Time, level int) (size machine.Bytes, err error) {
	if level == 0 {
		level = DefaultLevel
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".initramfs-")
	if err != nil {
		return 0, fmt.Errorf("cannot write the initramfs: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot write the initramfs: %w", err), f.Close(), os.Remove(f.Name()))
		}
	}()
	bw := bufio.NewWriterSize(f, 1<<20)
	z, err := newCompressor(bw, level)
	if err != nil {
		return 0, err
	}
	if err := writeCpio(ctx, z, t.Entries(), mtime); err != nil {
		return 0, errors.Join(err, z.Close())
	}
	if err := errors.Join(z.Close(), bw.Flush(), f.Chmod(0o600)); err != nil {
		return 0, err
	}
	n, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	return machine.Bytes(n), os.Rename(f.Name(), out)
}

// stageEntries copies entries into a directory. Files are copied, not
// linked: what runs there must not reach the machine's own.
func stageEntries(dir string, entries []*Entry) error {
	for _, e := range entries {
		p := filepath.Join(dir, e.Path)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		var err error
		switch {
		case e.Mode.IsDir():
			err = os.MkdirAll(p, 0o755)
		case e.Link != "":
			err = os.Symlink(e.Link, p)
		case e.Mode&os.ModeDevice != 0:
		case e.Source != "":
			err = copyFile(p, e.Source, e.Mode)
		default:
			err = os.WriteFile(p, e.Data, e.Mode.Perm()|0o200)
		}
		if err != nil {
			return fmt.Errorf("cannot stage %s: %w", e.Path, err)
		}
	}
	return nil
}

func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// depmod makes the indexes of the chosen modules, in a stage of their own.
func (c *Contents) depmod(ctx context.Context, r system.Runner, stage string) error {
	root := filepath.Join(stage, "modules")
	dir := path.Join("/lib/modules", c.Kernel.Version)
	real, _, err := c.Tree.Resolve(dir)
	if err != nil {
		return err
	}
	var entries []*Entry
	for _, e := range c.Tree.Entries() {
		if len(e.Path) > len(real) && e.Path[:len(real)+1] == real+"/" {
			moved := *e
			moved.Path = dir + e.Path[len(real):]
			entries = append(entries, &moved)
		}
	}
	if err := stageEntries(root, entries); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil { // a kernel may have no module of the set
		return fmt.Errorf("cannot index the kernel modules of the rescue system: %w", err)
	}
	if _, err := r.Run(ctx, system.Command{Name: "depmod", Args: []string{"-b", root, c.Kernel.Version}}); err != nil {
		return fmt.Errorf("cannot index the kernel modules of the rescue system: %w", err)
	}
	made, err := filepath.Glob(filepath.Join(root, dir, "modules.*"))
	if err != nil {
		return err
	}
	for _, f := range made {
		b, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("cannot read what depmod wrote: %w", err)
		}
		c.Tree.AddData(path.Join(real, filepath.Base(f)), 0o644, b)
	}
	return nil
}
