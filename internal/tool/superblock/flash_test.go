package superblock

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/exfat"
	"github.com/mkcdrec/mkcdrec/internal/tool/f2fs"
)

// probe is what blkid says of an image.
func probe(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := exec.Command("blkid", "-p", "-o", "export", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		out[k] = strings.ReplaceAll(v, `\`, "")
	}
	return out
}

// TestF2FSComesBack makes one with mkfs.f2fs, reads it, makes another as read,
// and compares; blkid is the judge of both.
func TestF2FSComesBack(t *testing.T) {
	for _, args := range [][]string{
		{"-f", "-q"},
		{"-f", "-q", "-l", "größe 1", "-O", "extra_attr,inode_checksum,sb_checksum,inode_crtime,compression,lost_found"},
		{"-f", "-q", "-l", "c", "-O", "encrypt,quota,extra_attr,project_quota", "-C", "utf8:strict"},
	} {
		path := image(t, 128<<20, "mkfs.f2fs", args...)
		fs := read(t, "f2fs", path)
		b := probe(t, path)
		check(t, "type", b["TYPE"], "f2fs")
		check(t, "UUID", fs.UUID, b["UUID"])
		check(t, "label", fs.Label, ascii(b["LABEL"], args))
		check(t, "block size", fs.BlockSize, machine.Bytes(4096))
		if fs.Size > 128<<20 || fs.Size < 120<<20 {
			t.Errorf("size %d", fs.Size)
		}
		for _, f := range []string{"encrypt", "compression", "quota", "project_quota", "lost_found"} {
			check(t, f, slices.Contains(fs.Features, f), strings.Contains(strings.Join(args, " "), f))
		}
		again := t.TempDir() + "/again"
		if err := os.WriteFile(again, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(again, 128<<20); err != nil {
			t.Fatal(err)
		}
		if err := f2fs.Make(t.Context(), &system.Host{}, again, fs); err != nil {
			t.Fatal(err)
		}
		same(t, fs, read(t, "f2fs", again))
	}
}

func TestExFATComesBack(t *testing.T) {
	for _, args := range [][]string{nil, {"-L", "Daten ö"}, {"-L", "12345678901", "-c", "128K"}} {
		path := image(t, 64<<20, "mkfs.exfat", args...)
		fs := read(t, "exfat", path)
		b := probe(t, path)
		check(t, "type", b["TYPE"], "exfat")
		check(t, "UUID", fs.UUID, b["UUID"])
		check(t, "label", fs.Label, ascii(b["LABEL"], args))
		check(t, "size", fs.Size, machine.Bytes(64<<20))
		again := t.TempDir() + "/again"
		if err := os.WriteFile(again, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(again, 64<<20); err != nil {
			t.Fatal(err)
		}
		if err := exfat.Make(t.Context(), &system.Host{}, again, fs); err != nil {
			t.Fatal(err)
		}
		same(t, fs, read(t, "exfat", again))
		check(t, "UUID of the second", probe(t, again)["UUID"], b["UUID"])
	}
}

// ascii is the label that blkid shows, or what it was made with where blkid
// writes bytes beyond ASCII in a way of its own.
func ascii(shown string, args []string) string {
	if i := slices.IndexFunc(args, func(a string) bool { return a == "-l" || a == "-L" }); strings.Contains(shown, "M-") {
		return args[i+1]
	}
	return shown
}

func same(t *testing.T, a, b machine.FileSystem) {
	t.Helper()
	if a.UUID != b.UUID || a.Label != b.Label || a.Size != b.Size || a.BlockSize != b.BlockSize || !slices.Equal(a.Features, b.Features) ||
		len(a.Options) != len(b.Options) || a.Options["encoding"] != b.Options["encoding"] || a.Options["encoding_flags"] != b.Options["encoding_flags"] {
		t.Errorf("made again:\n got %+v\nwant %+v", b, a)
	}
}
