// Package compare holds a catalogue against a live root and names every
// difference: to check a restore, and to see what drifted since a backup. It
// changes nothing, and reads archives only through the entries it is given.
package compare

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sort"
	"strings"
	"sync"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/inode"
	"golang.org/x/sys/unix"
)

// Mode says how closely to look.
type Mode string

// The modes.
const (
	Meta Mode = "meta" // kinds, sizes and metadata
	Full Mode = "full" // and the content of each file by its hash
)

// Options say what is compared.
type Options struct {
	Mode Mode // "": Meta
	// Skip leaves entries out, for instance files that a restore adapts; nil: none.
	Skip    func(e *archive.Entry) bool
	Readers int // 0: two for each CPU
	// Progress gets the bytes of content that were read so far, one call at a time; may be nil.
	Progress func(done int64)
}

// Difference is one thing in which a path differs.
type Difference struct {
	Path string
	What string // "missing", "mode", "owner", "content", "attribute user.x" ...
	Want string // as recorded
	Have string // as it is
}

// String says it in one line.
func (d Difference) String() string {
	if d.Want == "" && d.Have == "" {
		return fmt.Sprintf("/%s: %s", d.Path, d.What)
	}
	return fmt.Sprintf("/%s: %s: recorded %s, here %s", d.Path, d.What, d.Want, d.Have)
}

// Result says how much was compared, and what differs, sorted by path.
type Result struct {
	Paths       int64
	Hashed      int64 // files whose content was read
	Left        int64 // sockets, unreadable and skipped entries, which cannot be compared
	Differences []Difference
}

// Run compares every entry of a catalogue with what is below root. The error
// is for a catalogue or root that cannot be read, or ctx; comparing nothing
// is an error as well.
func Run(ctx context.Context, entries iter.Seq2[*archive.Entry, error], root string, opt Options) (Result, error) {
	if opt.Readers <= 0 {
		opt.Readers = 2 * runtime.GOMAXPROCS(0)
	}
	tree, err := inode.OpenTree(root)
	if err != nil {
		return Result{}, fail.New(fail.Failed, "cannot compare: %w", err)
	}
	defer tree.Close()
	c := &comparer{ctx: ctx, opt: opt, tree: tree}
	work := make(chan *archive.Entry, 256)
	var group sync.WaitGroup
	for range opt.Readers {
		group.Go(func() {
			for e := range work {
				c.entry(e)
			}
		})
	}
	err = c.feed(entries, work)
	close(work)
	group.Wait()
	sort.SliceStable(c.res.Differences, func(i, k int) bool { return c.res.Differences[i].Path < c.res.Differences[k].Path })
	if err == nil && c.res.Paths == 0 {
		err = fail.New(fail.Failed, "nothing was compared: the catalogue has no path that can be")
	}
	return c.res, err
}

type comparer struct {
	ctx  context.Context
	opt  Options
	tree *inode.Tree

	mu   sync.Mutex
	res  Result
	read int64 // bytes of content
}

// readMore counts bytes of content.
func (c *comparer) readMore(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += int64(n)
	if c.opt.Progress != nil {
		c.opt.Progress(c.read)
	}
}

func (c *comparer) feed(entries iter.Seq2[*archive.Entry, error], work chan<- *archive.Entry) error {
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if e.Kind == archive.Socket || e.Unreadable || c.opt.Skip != nil && c.opt.Skip(e) {
			c.res.Left++ // this goroutine alone counts these two
			continue
		}
		c.res.Paths++
		copied := *e
		work <- &copied
	}
	return c.ctx.Err()
}

func (c *comparer) differ(e *archive.Entry, what, want, have string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.res.Differences = append(c.res.Differences, Difference{e.Name, what, want, have})
}

func (c *comparer) entry(e *archive.Entry) {
	if err := inode.CheckName(e.Name); err != nil {
		c.differ(e, err.Error(), "", "")
		return
	}
	dir, base, err := c.tree.Parent(e.Name)
	if err != nil {
		c.missing(e, err)
		return
	}
	defer dir.Release()
	var st unix.Stat_t
	if err := unix.Fstatat(dir.FD, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		c.missing(e, err)
		return
	}
	if e.Kind == archive.Hardlink {
		c.hardlink(e, &st)
		return
	}
	have, err := inode.Stat(e.Name, &st)
	if err != nil {
		c.differ(e, err.Error(), "", "")
		return
	}
	if kind(have.Kind) != kind(e.Kind) {
		c.differ(e, "kind", string(e.Kind), string(have.Kind))
		return
	}
	c.stat(e, have)
	c.attributes(e, dir.FD, base)
	switch e.Kind {
	case archive.Symlink:
		target, err := inode.Readlink(dir.FD, base)
		if err != nil {
			c.differ(e, "cannot read symbolic link: "+err.Error(), "", "")
		} else if target != e.Link {
			c.differ(e, "target", fmt.Sprintf("%q", e.Link), fmt.Sprintf("%q", target))
		}
	case archive.File, archive.Dir, archive.Subvolume:
		c.opened(e, dir.FD, base, have.Size)
	}
}

// kind takes a subvolume for a directory: where it was restored to, it may be one.
func kind(k archive.Kind) archive.Kind {
	if k == archive.Subvolume {
		return archive.Dir
	}
	return k
}

func (c *comparer) missing(e *archive.Entry, err error) {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		c.differ(e, "missing", "", "")
		return
	}
	c.differ(e, "cannot look: "+err.Error(), "", "")
}

func (c *comparer) hardlink(e *archive.Entry, st *unix.Stat_t) {
	if inode.CheckName(e.Link) != nil {
		c.differ(e, "hard link to a name that is none", "", "")
		return
	}
	dir, base, err := c.tree.Parent(e.Link)
	if err == nil {
		defer dir.Release()
		var first unix.Stat_t
		err = unix.Fstatat(dir.FD, base, &first, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && first.Ino == st.Ino && first.Dev == st.Dev {
			return
		}
	}
	c.differ(e, "hard link", "to "+e.Link, "another file")
}

// stat compares what lstat says. Access times are left out: looking at a
// directory changes them.
func (c *comparer) stat(e, have *archive.Entry) {
	if e.UID != have.UID || e.GID != have.GID {
		c.differ(e, "owner", fmt.Sprintf("%d:%d", e.UID, e.GID), fmt.Sprintf("%d:%d", have.UID, have.GID))
	}
	if e.Kind != archive.Symlink && e.Mode != have.Mode {
		c.differ(e, "mode", fmt.Sprintf("%04o", e.Mode), fmt.Sprintf("%04o", have.Mode))
	}
	if !e.MTime.Equal(have.MTime) {
		const layout = "2006-01-02T15:04:05.999999999Z"
		c.differ(e, "modification time", e.MTime.UTC().Format(layout), have.MTime.Format(layout))
	}
	if e.Kind == archive.File && e.Size != have.Size {
		c.differ(e, "size", fmt.Sprint(e.Size), fmt.Sprint(have.Size))
	}
	device := e.Kind == archive.CharDev || e.Kind == archive.BlockDev
	if device && (e.DevMajor != have.DevMajor || e.DevMinor != have.DevMinor) {
		c.differ(e, "device number", fmt.Sprintf("%d:%d", e.DevMajor, e.DevMinor), fmt.Sprintf("%d:%d", have.DevMajor, have.DevMinor))
	}
}

func (c *comparer) attributes(e *archive.Entry, dirfd int, base string) {
	have, err := inode.XattrsAt(dirfd, base)
	if err != nil {
		c.differ(e, err.Error(), "", "")
		return
	}
	for n, v := range e.Xattrs {
		if h, ok := have[n]; !ok {
			c.differ(e, "attribute "+n, "set", "missing")
		} else if h != v {
			c.differ(e, "attribute "+n, fmt.Sprintf("%q", v), fmt.Sprintf("%q", h))
		}
	}
	for n := range have {
		// A kernel with SELinux labels what had no label.
		if _, ok := e.Xattrs[n]; !ok && !strings.HasPrefix(n, "security.selinux") {
			c.differ(e, "attribute "+n, "not set", "set")
		}
	}
}

// opened compares what needs an open file: flags, and the content.
func (c *comparer) opened(e *archive.Entry, dirfd int, base string, size int64) {
	fd, err := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		fd, err = unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		c.differ(e, "cannot open: "+err.Error(), "", "")
		return
	}
	defer unix.Close(fd)
	if flags, err := inode.Flags(fd); err != nil {
		c.differ(e, err.Error(), "", "")
	} else if flags != e.Flags {
		c.differ(e, "flags", fmt.Sprintf("%#x", e.Flags), fmt.Sprintf("%#x", flags))
	}
	if project, err := inode.Project(fd); err != nil {
		c.differ(e, err.Error(), "", "")
	} else if project != e.Project {
		c.differ(e, "project", fmt.Sprint(e.Project), fmt.Sprint(project))
	}
	if c.opt.Mode != Full || e.Kind != archive.File || size != e.Size {
		return
	}
	sum, same, err := contentHash(c.ctx, fd, e, c.readMore)
	if err != nil {
		c.differ(e, "cannot read: "+err.Error(), "", "")
		return
	}
	c.mu.Lock()
	c.res.Hashed++
	c.mu.Unlock()
	switch {
	case sum != e.Hash:
		c.differ(e, "content", fmt.Sprintf("SHA-256 %x", e.Hash[:8]), fmt.Sprintf("%x", sum[:8]))
	case !same:
		c.differ(e, "content", "a hole", "data")
	}
}
