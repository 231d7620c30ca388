package cli

import (
	"slices"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
)

// Doctor judges by the settings that backup goes by.
func TestDoctorKnowsTheSettings(t *testing.T) {
	t.Parallel()
	s, err := config.Parse("test", []byte("exclude = ['luks:secret']\nbackup_to = 'file:///mnt/nas'\n[rescue]\nconsole_login = true\nprograms = ['pv']\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{settings: s}
	o, err := a.doctorOptions(machinetest.Get("uefi-plain"), nil, "/srv")
	if err != nil {
		t.Fatal(err)
	}
	if o.BackupTo != "/mnt/nas" || o.Destination != "/srv" || !slices.Equal(o.Exclude, []string{"luks:secret"}) || !slices.Equal(o.Programs, []string{"pv", "sulogin"}) {
		t.Errorf("options: %+v", o)
	}
}
