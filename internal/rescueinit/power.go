package rescueinit

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// powerButton ends the system in order when the power button is pressed, or
// a hypervisor asks for a shutdown by ACPI. Without it the press does nothing.
func (r *rescuer) powerButton() {
	names, _ := filepath.Glob("/sys/class/input/event*/device/name")
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil || strings.TrimSpace(string(b)) != "Power Button" {
			continue
		}
		dev := filepath.Join("/dev/input", filepath.Base(filepath.Dir(filepath.Dir(n))))
		f, err := os.Open(dev)
		if err != nil {
			r.log.logf("cannot watch the power button: %v", err)
			continue
		}
		r.guard("power button", func() {
			defer f.Close()
			if pressed(f) {
				r.end("poweroff")
			}
		})
	}
}

// pressed reads input events (struct input_event of linux/input.h, 24 bytes
// on 64-bit machines) until KEY_POWER goes down; false: the device is gone.
func pressed(events io.Reader) bool {
	const (
		evKey    = 1
		keyPower = 116
	)
	var e struct {
		Seconds, Micros uint64
		Type, Code      uint16
		Value           int32
	}
	for {
		if err := binary.Read(events, binary.NativeEndian, &e); err != nil {
			return false
		}
		if e.Type == evKey && e.Code == keyPower && e.Value == 1 {
			return true
		}
	}
}
