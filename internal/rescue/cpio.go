package rescue

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// File types of a cpio mode field (cpio(5)).
const (
	cpioDir  = 0o040000
	cpioChar = 0o020000
	cpioFile = 0o100000
	cpioLink = 0o120000
)

// maxCpioFile is the largest file that the eight hex digits of newc hold.
const maxCpioFile = 1<<32 - 1

// writeCpio writes entries as a "newc" archive, the form the kernel's
// initramfs takes (Documentation/driver-api/early-userspace/buffer-format.rst).
// Inode numbers count from 1 and every time is mtime, so that the same
// content gives the same bytes. Names of one file have one inode number, and
// the last of them the content, as in GNU cpio.
func writeCpio(ctx context.Context, w io.Writer, entries []*Entry, mtime time.Time) error {
	bw := bufio.NewWriterSize(w, 1<<20)
	c := cpioWriter{w: bw, mtime: mtime.Unix()}
	names := map[inode][]int{} // indexes of entries
	for i, e := range entries {
		if e.inode != (inode{}) {
			names[e.inode] = append(names[e.inode], i)
		}
	}
	for i, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		ino, nlink, content := i, 1, true
		if n := names[e.inode]; len(n) > 1 {
			ino, nlink, content = n[0], len(n), i == n[len(n)-1]
		}
		if err := c.entry(uint32(ino+1), uint32(nlink), e, content); err != nil {
			return fmt.Errorf("cannot pack %s: %w", e.Path, err)
		}
	}
	c.header(0, 0, 1, 0, 0, 0, "TRAILER!!!")
	c.pad(512)
	if c.err != nil {
		return c.err
	}
	return bw.Flush()
}

type cpioWriter struct {
	w     io.Writer
	mtime int64
	off   int64
	err   error
}

func (c *cpioWriter) write(b []byte) {
	if c.err != nil {
		return
	}
	n, err := c.w.Write(b)
	c.off += int64(n)
	c.err = err
}

var zeros [512]byte

func (c *cpioWriter) pad(to int64) {
	if r := c.off % to; r != 0 {
		c.write(zeros[:to-r])
	}
}

func (c *cpioWriter) header(ino, mode, nlink uint32, size int64, major, minor uint32, name string) {
	mtime := c.mtime
	if ino == 0 {
		mtime = 0
	}
	c.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		ino, mode, 0, 0, nlink, uint32(mtime), size, 0, 0, major, minor, len(name)+1, 0, name))
	c.pad(4)
}

func (c *cpioWriter) entry(ino, nlink uint32, e *Entry, content bool) error {
	name := e.Path[1:]
	perm := uint32(e.Mode.Perm())
	if e.Mode&fs.ModeSticky != 0 {
		perm |= 0o1000
	}
	switch {
	case e.Mode.IsDir():
		c.header(ino, cpioDir|perm, 2, 0, 0, 0, name)
	case e.Mode&fs.ModeSymlink != 0:
		c.header(ino, cpioLink|0o777, 1, int64(len(e.Link)), 0, 0, name)
		c.write([]byte(e.Link))
	case e.Mode&fs.ModeCharDevice != 0:
		c.header(ino, cpioChar|perm, 1, 0, e.Major, e.Minor, name)
	case !content:
		c.header(ino, cpioFile|perm, nlink, 0, 0, 0, name)
	case e.Source != "":
		return c.file(ino, perm, nlink, name, e.Source)
	default:
		c.header(ino, cpioFile|perm, 1, int64(len(e.Data)), 0, 0, name)
		c.write(e.Data)
	}
	c.pad(4)
	return c.err
}

func (c *cpioWriter) file(ino, perm, nlink uint32, name, source string) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	size := fi.Size()
	if size > maxCpioFile {
		return fmt.Errorf("%d bytes are too many for an initramfs", size)
	}
	c.header(ino, cpioFile|perm, nlink, size, 0, 0, name)
	if c.err != nil {
		return c.err
	}
	n, err := io.CopyN(c.w, f, size)
	c.off += n
	if err != nil {
		return fmt.Errorf("%s changed while it was read: %w", source, err)
	}
	c.pad(4)
	return c.err
}
