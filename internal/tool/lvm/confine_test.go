package lvm

import (
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

func TestConfine(t *testing.T) {
	const config = `devices{use_devicesfile=0 filter=["a|^/dev/loop3(p[0-9]+)?$|","r|.*|"] global_filter=["a|^/dev/loop3(p[0-9]+)?$|","r|.*|"]} backup{backup=0 archive=0}`
	for _, tt := range []struct{ in, want []string }{
		{[]string{"pvcreate", "-y", "/dev/loop3p1"}, []string{"pvcreate", "--config", config, "-y", "/dev/loop3p1"}},
		{[]string{"lvm", "vgs", "-o", "vg_name"}, []string{"lvm", "vgs", "--config", config, "-o", "vg_name"}},
		{[]string{"/sbin/vgchange", "-an", "vg0"}, []string{"/sbin/vgchange", "--config", config, "-an", "vg0"}},
		{[]string{"lvconvert", "--thinpool", "x"}, []string{"lvconvert", "--config", config, "--thinpool", "x"}},
		{[]string{"mkfs.ext4", "/dev/loop3p1"}, []string{"mkfs.ext4", "/dev/loop3p1"}},
	} {
		in := system.Command{Name: tt.in[0], Args: tt.in[1:]}
		got := Confine(in, []string{"loop3(p[0-9]+)?"})
		if !slices.Equal(append([]string{got.Name}, got.Args...), tt.want) {
			t.Errorf("%v: %v", tt.in, got.Args)
		}
		if !slices.Equal(in.Args, tt.in[1:]) {
			t.Errorf("the arguments of the original were changed: %v", in.Args)
		}
	}
	if got := Confine(system.Command{Name: "vgs"}, nil); got.Args[1] != `devices{use_devicesfile=0 filter=["r|.*|"] global_filter=["r|.*|"]} backup{backup=0 archive=0}` {
		t.Errorf("no device at all: %v", got.Args)
	}
}
