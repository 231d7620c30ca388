package lsblk

import (
	"os"
	"testing"
)

func TestParse(t *testing.T) {
	b, err := os.ReadFile("testdata/virtio.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if err != nil || len(got) != 3 || got[0] != (Device{KName: "vda", Path: "/dev/vda", Vendor: "0x1af4"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = Parse([]byte(`{"blockdevices":[{"kname":"sda","serial":" S4X ","tran":"sata"}]}`))
	if err != nil || len(got) != 1 || got[0].Serial != "S4X" || got[0].Transport != "sata" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Parse(nil); err == nil {
		t.Error("nothing was understood")
	}
}
