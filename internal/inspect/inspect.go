// Package inspect looks at this machine and records it as a machine.Machine.
// It reads sysfs, /proc, superblocks and the JSON of tools; it changes
// nothing. What it sees and cannot record is a finding, never dropped. It
// neither judges whether the record is complete (machine.Validate) nor
// decides what follows from a finding (backup).
package inspect

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Options say where to look.
type Options struct {
	// Root is put before /proc, /sys, /etc, /dev and mount points: the root
	// of a view of a machine. "" is this machine.
	Root string
	// Now is the time of the record; nil: the clock.
	Now func() time.Time
	// Network reads the interfaces; nil: by netlink, or none when Root is set.
	Network func() (machine.Network, error)
	// Used says how many bytes of the file system mounted at a path are in
	// use; nil: statfs(2), or none when Root is set.
	Used func(target string) (machine.Bytes, error)
}

// Machine records this machine. An error means that nothing could be
// recorded; anything less is a finding.
func Machine(ctx context.Context, runner system.Runner, opts Options) (machine.Machine, error) {
	in := &inspector{ctx: ctx, run: runner, opts: opts, named: map[string]bool{}, partOf: map[string]string{}}
	if in.opts.Now == nil {
		in.opts.Now = time.Now
	}
	in.m.Version = machine.Version
	in.m.Recorded = in.opts.Now().UTC().Truncate(time.Second)
	in.m.Arch = runtime.GOARCH
	in.host()
	if err := in.blockDevices(); err != nil {
		return machine.Machine{}, err
	}
	in.arrays(false)
	in.crypts()
	in.volumeGroups()
	in.arrays(true)
	in.cryptsOn()
	mounts, err := in.readMounts()
	if err != nil {
		return machine.Machine{}, err
	}
	in.swaps()
	in.contents(mounts)
	in.mounts(mounts)
	in.accounted()
	in.firmware()
	in.bootLoader()
	in.network()
	if err := ctx.Err(); err != nil {
		return machine.Machine{}, fmt.Errorf("cannot record this machine: %w", err)
	}
	return in.m, nil
}

// inspector holds what is known while a machine is being recorded.
type inspector struct {
	ctx  context.Context
	run  system.Runner
	opts Options
	m    machine.Machine

	nodes   map[string]*node // by kernel name, all block devices of sysfs
	pending []*node          // arrays that are not recorded yet
	fstab   []fstabLine
	named   map[string]bool   // findings by name
	active  map[string]bool   // devices (kernel names) that are swap
	partOf  map[string]string // devices (kernel names) of a btrfs over several, with its UUID
	random  []*node           // swap with a random key
	unknown map[*node]bool    // holds data of a kind that is not known
}

// path puts Root before an absolute path.
func (in *inspector) path(p string) string {
	if in.opts.Root == "" {
		return p
	}
	return filepath.Join(in.opts.Root, p)
}

// text is a small file's content without white space around it, or "".
func (in *inspector) text(p string) string {
	b, err := os.ReadFile(in.path(p))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(bytes.TrimSpace(bytes.Trim(b, "\x00"))), "\uFFFD")
}

func (in *inspector) exists(p string) bool {
	_, err := os.Lstat(in.path(p))
	return err == nil
}

// find adds a finding; a second one of the same name is the same thing seen
// from another side, and left out.
func (in *inspector) find(f machine.Finding) {
	if !in.named[f.Name] {
		in.named[f.Name] = true
		in.m.Findings = append(in.m.Findings, f)
	}
}

func (in *inspector) blocking(name, todo, what string, args ...any) {
	in.find(machine.Finding{Name: name, What: fmt.Sprintf(what, args...), Todo: todo, Blocking: true})
}

func (in *inspector) note(name, todo, what string, args ...any) {
	in.find(machine.Finding{Name: name, What: fmt.Sprintf(what, args...), Todo: todo})
}
