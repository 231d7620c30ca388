// Package btrfs knows btrfs(8): listing subvolumes of a mounted file system.
package btrfs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Subvolumes lists all subvolumes of the file system mounted at target, with
// their paths from the top level, whichever subvolume is mounted there.
// Needs root. btrfs-progs has no JSON for this list before 6.9.
func Subvolumes(ctx context.Context, r system.Runner, target string) ([]machine.Subvolume, error) {
	run := func(args ...string) (string, error) {
		res, err := r.Run(ctx, system.Command{Name: "btrfs", Args: append(args, target)})
		if err != nil {
			return "", fmt.Errorf("cannot list the subvolumes of %s: %w", target, err)
		}
		return string(res.Stdout), nil
	}
	// Without -a, what lies below the mounted subvolume is named from there.
	all, err := run("subvolume", "list", "-q", "-a")
	if err != nil {
		return nil, err
	}
	readOnly, err := run("subvolume", "list", "-r")
	if err != nil {
		return nil, err
	}
	def, err := run("subvolume", "get-default")
	if err != nil {
		return nil, err
	}
	return Parse(all, readOnly, def)
}

// Parse puts together `subvolume list -q -a`, `subvolume list -r` and
// `subvolume get-default`.
func Parse(all, readOnly, def string) ([]machine.Subvolume, error) {
	subvols, err := lines(all)
	if err != nil {
		return nil, err
	}
	locked, err := lines(readOnly)
	if err != nil {
		return nil, err
	}
	ro := map[uint64]bool{}
	for _, s := range locked {
		ro[s.ID] = true
	}
	fields := strings.Fields(def)
	if len(fields) < 2 || fields[0] != "ID" {
		return nil, fmt.Errorf("cannot read the output of btrfs subvolume get-default: %q", def)
	}
	for i := range subvols {
		subvols[i].ReadOnly = ro[subvols[i].ID]
		subvols[i].Default = fields[1] == strconv.FormatUint(subvols[i].ID, 10)
	}
	return subvols, nil
}

// lines reads "ID 256 gen 9 top level 5 [parent_uuid U] path NAME". With -a a
// path that is not in the mounted subvolume itself begins with "<FS_TREE>/".
func lines(s string) ([]machine.Subvolume, error) {
	var out []machine.Subvolume
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		head, path, ok := strings.Cut(line, " path ")
		f := strings.Fields(head)
		if !ok || len(f) < 2 || f[0] != "ID" {
			return nil, fmt.Errorf("cannot read the output of btrfs subvolume list: %q", line)
		}
		id, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the output of btrfs subvolume list: %q", line)
		}
		sv := machine.Subvolume{ID: id, Path: strings.TrimPrefix(path, "<FS_TREE>/")}
		for i := range f[:len(f)-1] {
			if f[i] == "parent_uuid" {
				sv.Snapshot = f[i+1] != "-"
			}
		}
		out = append(out, sv)
	}
	return out, nil
}
