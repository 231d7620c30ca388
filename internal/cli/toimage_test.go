package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
)

func TestImageFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", ""},
		{"--to-image a.raw", ""},
		{"--to-image a.raw --firmware uefi --image-size 20G --grow --drop /x", ""},
		{"--image-size 20G", "none is named"},
		{"--firmware uefi", "none is named"},
		{"--to-image a.raw --firmware coreboot", "may be bios or uefi"},
		{"--to-image a.raw --to-image b.raw --image-size 1G --image-size 2G --image-size 3G", "3 sizes were given for 2 images"},
		{"--to-image a.raw --map vda=vdb", "--map and --to-image"},
		{"--to-image a.raw --disk vda", "--disk and --to-image"},
		{"--to-image a.raw --plan-in p", "--plan-in and --to-image"},
		{"--to-image a.raw --plan-out p", "--plan-out and --to-image"},
	} {
		var f restoreFlags
		c := &cobra.Command{Use: "restore"}
		(&app{}).restoreFlags(c, &f)
		if err := c.ParseFlags(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		err := f.image.check(c)
		if tt.want == "" && err != nil || tt.want != "" && (fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.args, err)
		}
	}
}

func TestWantedImages(t *testing.T) {
	disks := []machine.Disk{{Name: "vda", Size: 20<<30 + 512}, {Name: "vdb", Size: 5 << 30}}
	f := imageFlags{to: []string{"/srv/a.raw", "b.raw"}}
	got, err := f.wanted(disks)
	if err != nil || len(got) != 2 || got[0].Size != disks[0].Size || got[1].Size != disks[1].Size || !strings.HasSuffix(got[1].File, "/internal/cli/b.raw") {
		t.Errorf("%+v, %v", got, err)
	}
	f.sizes = []string{"10GB"}
	if got, err = f.wanted(disks); err != nil || got[0].Size != got[1].Size || got[0].Size%(1<<20) != 0 || got[0].Size < 10e9 {
		t.Errorf("one size for all: %+v, %v", got, err)
	}
	f.sizes = []string{"1G", "2G"}
	if got, err = f.wanted(disks); err != nil || got[0].Size != 1<<30 || got[1].Size != 2<<30 {
		t.Errorf("a size for each: %+v, %v", got, err)
	}
	f.to = f.to[:1]
	if _, err := f.wanted(disks); fail.KindOf(err) != fail.Usage || !strings.Contains(err.Error(), "needs 2 disks, and 1 image files are named: vda (20 GiB), vdb (5 GiB)") {
		t.Errorf("one image for two disks: %v", err)
	}
}
