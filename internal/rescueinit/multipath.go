package rescueinit

import (
	"encoding/json"
	"os"
	"strings"
	"time"
)

// recordFile is the record of the machine that the medium was made on.
const recordFile = "/etc/recovery/layout.json"

// multipathModules: the handlers of SCSI devices must be there before paths are grouped.
var multipathModules = []string{"scsi_dh_alua", "scsi_dh_rdac", "scsi_dh_emc", "dm_multipath", "dm_service_time", "dm_round_robin", "dm_queue_length"}

const multipathLimit = 30 * time.Second

// hasMultipath says that a recorded machine had a multipath device.
func hasMultipath(layout []byte) bool {
	var m struct {
		Disks []struct{ Paths []string }
	}
	if json.Unmarshal(layout, &m) != nil {
		return false
	}
	for _, d := range m.Disks {
		if len(d.Paths) > 0 {
			return true
		}
	}
	return false
}

// multipath groups paths to one disk where the recorded machine did so, and
// makes the partitions. Without it each path would look like a disk. Nothing is
// written to a disk by it.
func (r *rescuer) multipath() {
	b, err := os.ReadFile(recordFile)
	if err != nil || !hasMultipath(b) {
		return
	}
	r.modprobe(multipathModules)
	if out, err := r.kids.output(multipathLimit, "multipath", "-v1"); err != nil {
		r.problem("multipath devices may be missing: %v %s", err, strings.TrimSpace(out))
	}
	names, err := r.kids.output(multipathLimit, "multipath", "-l", "-v1")
	if err != nil {
		r.problem("multipath devices are not known: %v %s", err, strings.TrimSpace(names))
		return
	}
	for name := range strings.FieldsSeq(names) {
		if out, err := r.kids.output(multipathLimit, "kpartx", "-a", "-s", "-p", "-part", "/dev/mapper/"+name); err != nil {
			r.log.logf("kpartx %s: %v %s", name, err, strings.TrimSpace(out))
		}
	}
	r.log.logf("multipath devices: %s", strings.Join(strings.Fields(names), " "))
}
