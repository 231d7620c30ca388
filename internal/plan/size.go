package plan

import (
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// Size writes a size for people, in binary units with one decimal at most:
// "512 MiB", "1.5 TiB".
func Size(b machine.Bytes) string {
	if b < 1024 {
		return fmt.Sprintf("%d bytes", int64(b))
	}
	v, unit := float64(b), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if v /= 1024; v < 1023.95 {
			break
		}
	}
	if s := fmt.Sprintf("%.1f", v); s[len(s)-2:] != ".0" {
		return s + " " + unit
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}
