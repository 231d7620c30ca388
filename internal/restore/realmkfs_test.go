package restore

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/btrfs"
	"github.com/mkcdrec/mkcdrec/internal/tool/e2fs"
	"github.com/mkcdrec/mkcdrec/internal/tool/exfat"
	"github.com/mkcdrec/mkcdrec/internal/tool/f2fs"
	"github.com/mkcdrec/mkcdrec/internal/tool/sfdisk"
	"github.com/mkcdrec/mkcdrec/internal/tool/superblock"
	"github.com/mkcdrec/mkcdrec/internal/tool/vfat"
	"github.com/mkcdrec/mkcdrec/internal/tool/xfs"
)

func image(t *testing.T, size machine.Bytes) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestMadeFileSystemsAreAsRecorded makes the file systems of the named machines
// in images with the real tools and reads their superblocks back.
func TestMadeFileSystemsAreAsRecorded(t *testing.T) {
	h := &system.Host{}
	made := 0
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		for _, fs := range m.FileSystems {
			t.Run(name+"/"+fs.On.Body(), func(t *testing.T) {
				tool := map[machine.FSKind]string{"xfs": "mkfs.xfs", "btrfs": "mkfs.btrfs", "vfat": "mkfs.vfat", "f2fs": "mkfs.f2fs", "exfat": "mkfs.exfat"}[fs.Kind]
				if tool == "" {
					tool = "mke2fs"
				}
				if _, err := h.LookPath(tool); err != nil {
					t.Skip(tool + " is not installed")
				}
				var ps []string
				for _, size := range fs.Sizes() {
					ps = append(ps, image(t, size))
				}
				p := ps[0]
				var err error
				switch fs.Kind {
				case "xfs":
					err = xfs.Make(t.Context(), h, p, fs)
				case "btrfs":
					err = btrfs.Make(t.Context(), h, ps, fs)
				case "vfat":
					err = vfat.Make(t.Context(), h, p, fs)
				case "f2fs":
					err = f2fs.Make(t.Context(), h, p, fs)
				case "exfat":
					err = exfat.Make(t.Context(), h, p, fs)
				default:
					err = e2fs.Make(t.Context(), h, p, fs)
				}
				if err != nil {
					t.Fatal(err)
				}
				f, err := os.Open(p)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				got, err := superblock.Read(fs.Kind, f)
				if err != nil {
					t.Fatal(err)
				}
				made++
				if got.Kind != fs.Kind || got.UUID != fs.UUID || got.Label != fs.Label {
					t.Errorf("got %s %s %q, want %s %s %q", got.Kind, got.UUID, got.Label, fs.Kind, fs.UUID, fs.Label)
				}
				if fs.Kind != "vfat" && got.BlockSize != fs.BlockSize {
					t.Errorf("block size %d, want %d", got.BlockSize, fs.BlockSize)
				}
				if fs.Inodes > 0 && (got.Inodes < fs.Inodes || got.Inodes > fs.Inodes*11/10) {
					t.Errorf("%d inodes, want %d", got.Inodes, fs.Inodes)
				}
				for _, k := range []string{"hash_seed", "default_mount_options", "csum", "node_size", "fat_bits", "system"} {
					if fs.Options[k] != "" && got.Options[k] != fs.Options[k] {
						t.Errorf("%s is %q, want %q", k, got.Options[k], fs.Options[k])
					}
				}
				if fs.Kind == "btrfs" {
					// The kernel sets this one at the first mount.
					got.Features = append(got.Features, "BIG_METADATA")
					// And this one when a default subvolume is chosen.
					if slices.Contains(fs.Features, "DEFAULT_SUBVOL") {
						got.Features = append(got.Features, "DEFAULT_SUBVOL")
					}
				}
				is, want := slices.Sorted(slices.Values(got.Features)), slices.Sorted(slices.Values(fs.Features))
				if fs.Kind != "vfat" && !slices.Equal(is, want) {
					t.Errorf("features %v\n    want %v", is, want)
				}
			})
		}
	}
	if made == 0 {
		t.Skip("no tool for any file system is installed")
	}
}

// TestWrittenTablesAreAsRecorded writes the tables of the named machines with
// the real sfdisk and reads them back with it.
func TestWrittenTablesAreAsRecorded(t *testing.T) {
	h := &system.Host{}
	if _, err := h.LookPath("sfdisk"); err != nil {
		t.Skip("sfdisk is not installed")
	}
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		for _, d := range m.Disks {
			if d.Table == nil || d.LogicalSector != 512 {
				continue // an image has 512-byte sectors
			}
			t.Run(name+"/"+d.Name, func(t *testing.T) {
				p := image(t, d.Size)
				if err := sfdisk.Write(t.Context(), h, p, *d.Table); err != nil {
					t.Fatal(err)
				}
				got, err := sfdisk.Read(t.Context(), h, p)
				if err != nil {
					t.Fatal(err)
				}
				if got.Kind != d.Table.Kind || !strings.EqualFold(got.ID, d.Table.ID) {
					t.Errorf("table %s %s, want %s %s", got.Kind, got.ID, d.Table.Kind, d.Table.ID)
				}
				if len(got.Partitions) != len(d.Table.Partitions) {
					t.Fatalf("%d partitions, want %d", len(got.Partitions), len(d.Table.Partitions))
				}
				for i, is := range got.Partitions {
					want := d.Table.Partitions[i]
					is.Path, want.Path, want.Holds = "", "", ""
					if is != want {
						t.Errorf("partition\n got %+v\nwant %+v", is, want)
					}
				}
			})
		}
	}
}
