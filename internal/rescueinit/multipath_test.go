package rescueinit

import (
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

func TestHasMultipath(t *testing.T) {
	for name, m := range map[string]machine.Machine{"plain": machinetest.UEFIPlain(), "two paths": machinetest.UEFIMultipath()} {
		b, err := m.Layout()
		if err != nil {
			t.Fatal(err)
		}
		if got := hasMultipath(b); got != (name == "two paths") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if hasMultipath([]byte("{")) || hasMultipath(nil) {
		t.Error("no record, and multipath all the same")
	}
}
