package bls

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	// As kernel-install of Debian 13 and of Fedora 40 write them.
	debian := "# Boot Loader Specification type#1 entry\n# File created by /usr/lib/kernel/install.d/90-loaderentry.install (systemd 257.13-1~deb13u1)\n" +
		"title      Debian GNU/Linux 13 (trixie)\nversion    6.12.118+deb13-amd64\nmachine-id 5b1e\nsort-key   debian\noptions    root=UUID=a ro\n" +
		"linux      /5b1e/6.12.118+deb13-amd64/linux\ninitrd     /5b1e/6.12.118+deb13-amd64/initrd.img-6.12.118+deb13-amd64\n"
	fedora := "title Fedora Linux (6.8.5-301.fc40.x86_64) 40\nversion 6.8.5-301.fc40.x86_64\nlinux /vmlinuz-6.8.5-301.fc40.x86_64\n" +
		"initrd /initramfs-6.8.5-301.fc40.x86_64.img $tuned_initrd\noptions root=UUID=b ro\ngrub_class fedora\n"
	if got, want := Parse([]byte(debian)), (Entry{"6.12.118+deb13-amd64", "/5b1e/6.12.118+deb13-amd64/linux",
		[]string{"/5b1e/6.12.118+deb13-amd64/initrd.img-6.12.118+deb13-amd64"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	e := Parse([]byte(fedora))
	if !e.Of("6.8.5-301.fc40.x86_64") || e.Of("6.8.4") || len(e.Initrds) != 2 {
		t.Errorf("%+v", e)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("title x\nlinux /a\ninitrd /b /c"))
	f.Fuzz(func(t *testing.T, b []byte) { Parse(b).Of("1") })
}
