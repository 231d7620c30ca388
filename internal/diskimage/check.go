package diskimage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// JournalOf is where the journal lies while an image is made: beside it. An
// image that has one is not finished.
func JournalOf(file string) string { return file + ".journal" }

// Check refuses images that cannot be made: something is there, or there is no
// room for the content. fresh allows what a run that was killed has left; it is
// removed by Clear. Nothing is changed.
func Check(list []Wanted, content machine.Bytes, fresh bool) error {
	need := map[uint64]machine.Bytes{} // by file system
	where := map[uint64]string{}
	seen := map[string]bool{}
	var all machine.Bytes
	for _, w := range list {
		all += w.Size
	}
	for _, w := range list {
		if err := checkFile(w.File, fresh); err != nil {
			return err
		}
		if seen[w.File] {
			return fail.New(fail.Usage, "%s is named twice", w.File)
		}
		seen[w.File] = true
		dir := filepath.Dir(w.File)
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return fail.New(fail.Usage, "cannot make %s: %s: %w", w.File, dir, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return fail.New(fail.Usage, "cannot make %s: %s is no directory", w.File, dir)
		}
		// What is written: the content, journals, tables of inodes, and the rest.
		share := machine.Bytes(float64(content) * float64(w.Size) / float64(max(all, 1)))
		need[st.Dev] += share + share/20 + w.Size/100 + 128<<20
		where[st.Dev] = dir
	}
	for dev, n := range need {
		free, err := Free(where[dev])
		if err != nil {
			return err
		}
		if free < n {
			return fail.Hint(fail.New(fail.Refused, "there is too little room in %s: %s are free, and the image needs about %s", where[dev], plan.Size(free), plan.Size(n)),
				"make room, or name a file on another file system")
		}
	}
	return nil
}

// Free is the room for more on the file system of a directory.
func Free(dir string) (machine.Bytes, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fail.New(fail.Failed, "cannot see how much room there is in %s: %w", dir, err)
	}
	return machine.Bytes(st.Bavail) * machine.Bytes(st.Bsize), nil
}

// checkFile refuses whatever is there, but for the rest of a run that was killed.
func checkFile(file string, fresh bool) error {
	if strings.HasPrefix(file, "/dev/") || strings.HasPrefix(file, "/sys/") || strings.HasPrefix(file, "/proc/") {
		return fail.Hint(fail.New(fail.Refused, "%s cannot be an image file", file), "name a file that is not there yet; onto disks a backup is restored in the rescue system")
	}
	fi, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail.New(fail.Usage, "cannot make %s: %w", file, err)
	}
	if !fi.Mode().IsRegular() {
		return fail.Hint(fail.New(fail.Refused, "%s is there already, and is no file", file), "name a file that is not there yet")
	}
	_, jerr := os.Lstat(JournalOf(file))
	unfinished := jerr == nil
	switch {
	case !unfinished:
		return fail.Hint(fail.New(fail.Refused, "%s is there already, and is never overwritten", file), "name another file, or remove it")
	case !fresh:
		return fail.Hint(fail.New(fail.Refused, "%s is there already: an image that was not finished", file), "--fresh makes it anew, from the beginning")
	}
	used, err := inUse(file)
	if err != nil {
		return err
	}
	if used != "" {
		return fail.Hint(fail.New(fail.Refused, "%s is in use as /dev/%s", file, used),
			"another run is making it; or one was killed: unmount what lies on it (lsblk /dev/%s), then: losetup --detach /dev/%s", used, used)
	}
	return nil
}

// inUse is the loop device that shows a file, or "".
func inUse(file string) (string, error) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return "", err
	}
	for _, f := range found {
		if b, err := os.ReadFile(f); err == nil && strings.TrimSuffix(string(b), "\n") == real {
			return filepath.Base(filepath.Dir(filepath.Dir(f))), nil
		}
	}
	return "", nil
}

// Clear removes what a run that was killed has left (see Check).
func Clear(list []Wanted) error {
	for _, w := range list {
		if _, err := os.Lstat(w.File); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := checkFile(w.File, true); err != nil {
			return err
		}
		if err := os.Remove(w.File); err != nil {
			return fail.New(fail.Failed, "cannot remove the unfinished image: %w", err)
		}
	}
	return nil
}
