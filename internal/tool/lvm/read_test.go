package lvm

import (
	"os"
	"reflect"
	"testing"
)

func capture(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parse is Read without lvm(8): from the JSON of vgs, pvs and lvs --segments.
func parse(vgs, pvs, lvs []byte) (Report, error) {
	var all [3][]map[string]string
	for i, b := range [][]byte{vgs, pvs, lvs} {
		var err error
		if all[i], err = rows(b); err != nil {
			return Report{}, err
		}
	}
	return build(all[0], all[1], all[2])
}

func TestParseCapture(t *testing.T) {
	rep, err := parse(capture(t, "vgs.json"), capture(t, "pvs.json"), capture(t, "lvs.json"))
	if err != nil {
		t.Fatal(err)
	}
	group := Group{Name: "vg-0", UUID: "S1YZJx-KJEv-1Qc5-nj1c-dVOa-5ztp-L1rTnP", ExtentSize: 4194304, Size: 1841299456, Tags: []string{"prod"}}
	if !reflect.DeepEqual(rep.Groups, []Group{group}) {
		t.Errorf("groups: %+v", rep.Groups)
	}
	if len(rep.Physical) != 2 || rep.Physical[1].Path != "/dev/vdb7" || rep.Physical[1].Free != 595591168 {
		t.Errorf("physical volumes: %+v", rep.Physical)
	}
	kinds := map[string]string{}
	for _, s := range rep.Segments {
		kinds[s.Volume] = s.Type
		switch s.Volume {
		case "home":
			if s.Stripes != 2 || s.StripeSize != 65536 || !s.Open || !reflect.DeepEqual(s.Devices, []string{"/dev/vda3", "/dev/vdb7"}) {
				t.Errorf("home: %+v", s)
			}
		case "snap":
			if s.Origin != "root" {
				t.Errorf("snap: %+v", s)
			}
		}
	}
	want := map[string]string{"home": "striped", "pool": "thin-pool", "raw": "linear", "root": "linear", "snap": "linear", "swap": "linear", "thin": "thin"}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}

func TestParseRefuses(t *testing.T) {
	empty := []byte(`{"report":[{}]}`)
	if _, err := parse(empty, empty, empty); err != nil {
		t.Errorf("no volume group at all: %v", err)
	}
	for _, bad := range []string{`{`, `{"report":[{"vg":[{"vg_name":"a","vg_extent_size":"4.00m","vg_size":"1"}]}]}`} {
		if _, err := parse([]byte(bad), empty, empty); err == nil {
			t.Errorf("%s was understood", bad)
		}
	}
}
