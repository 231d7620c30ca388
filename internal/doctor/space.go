package doctor

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// mediumSize is the most that a medium takes without its backup.
const mediumSize = machine.Bytes(200 << 20)

// space checks the destinations and the work directory. How well the backup
// compresses is not known before: half of what is used is expected, and a
// destination with less than that is named, not refused. What goes to one file
// system is added up: image, backup and temporary files are there at one time.
func space(_ context.Context, e *environment) []Check {
	var used machine.Bytes
	for _, f := range e.Machine.FileSystems {
		used += f.Used
	}
	image, store := mediumSize+used/2, machine.Bytes(0)
	if e.BackupTo != "" {
		image, store = mediumSize, used/2
	}
	demands := []demand{
		{what: "the image", dir: e.Destination, least: image},
		{what: "the backup", dir: e.BackupTo, least: store},
		{what: "temporary files", dir: e.WorkDir, least: 3 * mediumSize, needed: true},
	}
	for i := range demands {
		if d := &demands[i]; d.dir != "" {
			d.place, d.err = e.placeOf(d.dir)
		}
	}
	var all []Check
	for i, d := range demands {
		switch {
		case d.dir == "" && d.what == "the backup": // it goes into the image
		case d.dir == "":
			all = append(all, Check{Name: "space for " + d.what, Status: NotApplicable})
		default:
			all = append(all, d.check(slices.Delete(slices.Clone(demands), i, i+1)))
		}
	}
	return all
}

// demand is what one thing will take of the file system that its directory is on.
type demand struct {
	what, dir string
	least     machine.Bytes
	needed    bool // without it no medium can be made
	place     place
	err       error
}

// check compares what is free with what this and the others will take of it.
// A need is checked alone: estimates do not stop a backup.
func (d demand) check(others []demand) Check {
	c := Check{Name: "space for " + d.what, Needed: d.needed}
	if d.err != nil {
		c.Status, c.Detail = NotFound, d.err.Error()
		return c
	}
	least, with := d.least, ""
	for _, o := range others {
		if !d.needed && o.dir != "" && o.err == nil && d.place.same(o.place) {
			least += o.least
			with += ", " + o.what
		}
	}
	c.Status = passed(d.place.free >= least)
	c.Detail = fmt.Sprintf("%s free in %s, about %s expected", machine.Human(d.place.free), d.dir, machine.Human(least))
	if with != "" {
		c.Detail += " for " + d.what + with
	}
	return c
}

// place is where a directory lies.
type place struct {
	free machine.Bytes
	dev  uint64      // number of the device (stat(2)); each subvolume of a btrfs has its own
	on   machine.Ref // the recorded device of the file system; "": not known, as of NFS
}

// same says whether two directories share their space.
func (p place) same(q place) bool { return p.dev == q.dev || p.on != "" && p.on == q.on }

// placeOf looks at a directory, or at the nearest one above that exists.
func (e *environment) placeOf(dir string) (place, error) {
	var fs unix.Statfs_t
	var st unix.Stat_t
	for {
		err := unix.Statfs(dir, &fs)
		if err == nil {
			err = unix.Stat(dir, &st)
		}
		if err == nil {
			return place{free: machine.Bytes(fs.Bavail) * machine.Bytes(fs.Bsize), dev: st.Dev, on: e.deviceAt(st.Dev)}, nil
		}
		if up := filepath.Dir(dir); err == unix.ENOENT && up != dir {
			dir = up
			continue
		}
		return place{}, fmt.Errorf("cannot find out the space in %s: %w", dir, err)
	}
}

// deviceAt is the recorded device whose mount point has a device number.
func (e *environment) deviceAt(dev uint64) machine.Ref {
	for _, m := range e.Machine.Mounts {
		var st unix.Stat_t
		if unix.Stat(e.path(m.Target), &st) == nil && st.Dev == dev {
			return m.On
		}
	}
	return ""
}
