package doctor

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// mediumSize is the most that a medium takes without its backup.
const mediumSize = machine.Bytes(200 << 20)

// space checks the destinations and the work directory. How well the backup
// compresses is not known before: half of what is used is expected, and a
// destination with less than that is named, not refused.
func space(_ context.Context, e *environment) []Check {
	var used machine.Bytes
	for _, f := range e.Machine.FileSystems {
		used += f.Used
	}
	image, store := mediumSize+used/2, machine.Bytes(0)
	if e.BackupTo != "" {
		image, store = mediumSize, used/2
	}
	var all []Check
	for _, p := range []struct {
		name, dir string
		least     machine.Bytes
		needed    bool
	}{
		{"space for the image", e.Destination, image, false},
		{"space for the backup", e.BackupTo, store, false},
		{"space for temporary files", e.WorkDir, 3 * mediumSize, true},
	} {
		if p.dir == "" && p.name == "space for the backup" {
			continue // it goes into the image
		}
		if p.dir == "" {
			all = append(all, Check{Name: p.name, Status: NotApplicable})
			continue
		}
		free, err := freeAt(p.dir)
		c := Check{Name: p.name, Status: passed(err == nil && free >= p.least), Needed: p.needed,
			Detail: fmt.Sprintf("%s free in %s, about %s expected", machine.Human(free), p.dir, machine.Human(p.least))}
		if err != nil {
			c.Detail = err.Error()
		}
		all = append(all, c)
	}
	return all
}

// freeAt is the space at a directory, or at the nearest one above that exists.
func freeAt(dir string) (machine.Bytes, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == nil {
			return machine.Bytes(st.Bavail) * machine.Bytes(st.Bsize), nil
		}
		if up := filepath.Dir(dir); err == unix.ENOENT && up != dir {
			dir = up
			continue
		}
		return 0, fmt.Errorf("cannot find out the space in %s: %w", dir, err)
	}
}
