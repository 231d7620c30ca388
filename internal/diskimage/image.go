// Package diskimage makes disk image files and lends them to a restore as disks, by
// loop devices. It confines the programs that work on them to them, says which
// names of a recorded machine this machine uses already, and takes everything
// away again. What goes onto the images is not its business.
package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/losetup"
	"github.com/mkcdrec/mkcdrec/internal/tool/udev"
)

// Sector is the sector size of every image, in bytes: that of virtual machines.
const Sector = machine.Bytes(512)

// Wanted is an image that is to be made.
type Wanted struct {
	File string // absolute
	Size machine.Bytes
}

// File is one image, which this run has made.
type File struct {
	Wanted
	Disk string // kernel name of its loop device
	file *os.File
}

// Set are the images of one run.
type Set struct {
	Files []File
	// Scans says that the kernel shows the partitions of loop devices; where it
	// does not, MapPartitions does.
	Scans bool
	// Root is where the restored system is mounted: nothing is mounted elsewhere.
	Root string

	run    system.Runner
	sys    string                    // /sys
	mapped map[string]map[int]string // disk -> partition -> kernel name
	owned  map[string]string         // loop devices of this run -> their files
}

// Make makes the files, which must not be there yet, and makes them disks. work
// is a directory for a small file that tells what this kernel can do. What was
// made is removed when it fails.
func Make(ctx context.Context, r system.Runner, list []Wanted, work, root string) (*Set, error) {
	s := &Set{Root: root, run: r, sys: "/sys", mapped: map[string]map[int]string{}, owned: map[string]string{}}
	err := s.probe(ctx, work)
	for i := 0; i < len(list) && err == nil; i++ {
		err = s.add(ctx, list[i])
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)), s.Remove())
	}
	return s, nil
}

// add makes one image. It is readable by root alone, as the disk was.
func (s *Set) add(ctx context.Context, w Wanted) error {
	f, err := os.OpenFile(w.File, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make the image: %w", err)
	}
	s.Files = append(s.Files, File{Wanted: w, file: f})
	if err := f.Truncate(int64(w.Size)); err != nil {
		return fmt.Errorf("cannot make %s with %s: %w", w.File, plan.Size(w.Size), err)
	}
	name, err := s.attach(ctx, w.File, losetup.Part{}, s.Scans)
	if err != nil {
		return err
	}
	s.Files[len(s.Files)-1].Disk = name
	return nil
}

// attach makes a file a loop device of this run.
func (s *Set) attach(ctx context.Context, file string, part losetup.Part, scan bool) (string, error) {
	real, err := filepath.EvalSymlinks(file) // as the kernel names it
	if err != nil {
		return "", err
	}
	name, err := losetup.Attach(ctx, s.run, file, part, scan)
	if err != nil {
		return "", err
	}
	s.owned[name] = real
	return name, s.Owns(name)
}

// Owns refuses what is no loop device of this run, or is one no more.
func (s *Set) Owns(disk string) error {
	file, ok := s.owned[disk]
	if !ok {
		return fail.New(fail.Refused, "%s is no image of this run", disk)
	}
	shows, err := os.ReadFile(filepath.Join(s.sys, "block", disk, "loop/backing_file"))
	if err != nil {
		return fail.New(fail.Refused, "%s does not show an image any more", disk)
	}
	if got := strings.TrimSuffix(string(shows), "\n"); got != file {
		return fail.New(fail.Refused, "%s shows %s now, and not %s", disk, got, file)
	}
	return nil
}

// probe finds out whether the kernel shows partitions of loop devices, by a
// file of a mebibyte with one partition.
func (s *Set) probe(ctx context.Context, work string) (err error) {
	f, err := os.CreateTemp(work, "mkcdrec-probe-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var mbr [512]byte
	copy(mbr[446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0}) // 8 sectors from sector 8 on
	mbr[510], mbr[511] = 0x55, 0xaa
	if _, err := f.Write(mbr[:]); err != nil {
		return err
	}
	if err := f.Truncate(1 << 20); err != nil {
		return err
	}
	name, err := s.attach(ctx, f.Name(), losetup.Part{}, true)
	if err != nil {
		return err
	}
	_, serr := os.Stat(filepath.Join(s.sys, "block", name, name+"p1"))
	s.Scans = serr == nil
	return s.detach(context.WithoutCancel(ctx), name)
}

// MapPartitions shows the partitions of an image where the kernel does not.
func (s *Set) MapPartitions(ctx context.Context, disk machine.Disk, t machine.PartitionTable) error {
	i := slices.IndexFunc(s.Files, func(f File) bool { return f.Disk == disk.Name })
	if i < 0 {
		return fail.New(fail.Refused, "%s is no image of this run", disk.Name)
	}
	if err := s.unmap(ctx, disk.Name); err != nil {
		return err
	}
	s.mapped[disk.Name] = map[int]string{}
	for _, p := range t.Partitions {
		if p.Extended() {
			continue
		}
		name, err := s.attach(ctx, s.Files[i].File, losetup.Part{Offset: disk.Bytes(p.Start), Size: disk.Bytes(p.Size)}, false)
		if err != nil {
			return err
		}
		s.mapped[disk.Name][p.Number] = name
	}
	return nil
}

// Partitions are those of MapPartitions; nil where the kernel shows them.
func (s *Set) Partitions(disk string) map[int]string {
	if s == nil {
		return nil
	}
	return s.mapped[disk]
}

// Devices are the kernel names of all loop devices of this run.
func (s *Set) Devices() []string {
	var out []string
	for name := range s.owned {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (s *Set) unmap(ctx context.Context, disk string) error {
	for n, name := range s.mapped[disk] {
		if err := s.detach(ctx, name); err != nil {
			return err
		}
		delete(s.mapped[disk], n)
	}
	return nil
}

// patience is how long a loop device may stay in use after all was unmounted:
// programs that look at new devices (udev) have it open for a moment.
const patience = 20 * time.Second

// detach ends one loop device, and waits until it is gone.
func (s *Set) detach(ctx context.Context, name string) error {
	if s.Owns(name) != nil { // already; or it is somebody else's by now
		delete(s.owned, name)
		return nil
	}
	if err := losetup.Detach(ctx, s.run, name); err != nil {
		return err
	}
	for end := time.Now().Add(patience); s.Owns(name) == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			return fail.Hint(fail.New(fail.Failed, "/dev/%s is still in use", name), "see: lsblk /dev/%s; it goes when its last user does", name)
		}
	}
	delete(s.owned, name)
	return nil
}

// Close detaches everything, and sees that all is on the disk of this machine.
// What stood on the images must be unmounted and taken apart before.
func (s *Set) Close(ctx context.Context) error {
	_ = udev.Settle(ctx, s.run) // what is looked at cannot be detached
	var errs []error
	for disk := range s.mapped {
		errs = append(errs, s.unmap(ctx, disk))
	}
	for i := range s.Files {
		f := &s.Files[i]
		if f.Disk != "" {
			errs = append(errs, s.detach(ctx, f.Disk))
		}
		if f.file != nil {
			// Where this machine's disk was full or broken it is said here.
			if err := f.file.Sync(); err != nil {
				errs = append(errs, fmt.Errorf("cannot write %s out: %w", f.File, err))
			}
			errs = append(errs, f.file.Close())
			f.file = nil
		}
	}
	for name := range s.owned { // of a probe that was interrupted
		errs = append(errs, s.detach(ctx, name))
	}
	return errors.Join(errs...)
}

// Remove removes the files that this run has made.
func (s *Set) Remove() error {
	var errs []error
	for _, f := range s.Files {
		if err := os.Remove(f.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cannot remove the unfinished image: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Disks are the images as the disks that a plan is made for. Where they are not
// made yet they go by names that are free now.
func Disks(files []File) []machine.Disk {
	var out []machine.Disk
	for _, f := range files {
		out = append(out, machine.Disk{Name: f.Disk, Path: "/dev/" + f.Disk, Size: f.Size, LogicalSector: Sector, Model: "image " + f.File})
	}
	return out
}

// Planned are images that are not made: for a look at the plan.
func Planned(list []Wanted) []File {
	var out []File
	n := 0
	for _, w := range list {
		for attached("/sys", n) {
			n++
		}
		out = append(out, File{Wanted: w, Disk: "loop" + strconv.Itoa(n)})
		n++
	}
	return out
}

func attached(sys string, n int) bool {
	_, err := os.Stat(filepath.Join(sys, "block", "loop"+strconv.Itoa(n), "loop/backing_file"))
	return err == nil
}
