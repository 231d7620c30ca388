package rescueinit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const labelPrefix = "MKCDREC_"

// volumeLabel reads the volume identifier of an ISO 9660 file system: ECMA-119
// 8.4, in the primary volume descriptor in sector 16. "" is: none here.
func volumeLabel(device io.ReaderAt) string {
	const sector = 2048
	var d [sector]byte
	if _, err := device.ReadAt(d[:], 16*sector); err != nil {
		return ""
	}
	if string(d[:7]) != "\x01CD001\x01" {
		return ""
	}
	return strings.TrimRight(string(d[40:72]), " \x00")
}

// isOurs says whether a label is that of the medium looked for. Without an
// ID any mkcdrec medium will do.
func isOurs(label, id string) bool {
	if id == "" {
		return strings.HasPrefix(label, labelPrefix)
	}
	return label == labelPrefix+strings.ToUpper(id)
}

// mayHoldMedium tells by its kernel name whether a block device is worth a look. Opening a
// floppy drive that is not there takes seconds.
func mayHoldMedium(name string) bool {
	for _, p := range []string{"loop", "ram", "fd", "dm-", "md", "zram", "nbd"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	return true
}

// searchMedium looks for the medium until it is there, and mounts it. found
// is closed then. It reads one sector of each device and writes nothing.
func (r *rescuer) searchMedium(found chan<- struct{}) {
	id := r.snapshot().Identity.MediumID
	if r.opts.Medium != "" {
		id = r.opts.Medium
	}
	looked := map[string]bool{}
	for began := time.Now(); ; {
		for _, p := range blockDevices() {
			if looked[p] {
				continue
			}
			label, err := labelOf(p)
			if err != nil {
				continue // not ready, or no disc in the drive: look again later
			}
			if !isOurs(label, id) {
				// Discs are changed, disks are not.
				looked[p] = !strings.HasPrefix(filepath.Base(p), "sr")
				continue
			}
			if err := r.mountMedium(p, label); err != nil {
				r.log.logf("%v", err)
				r.update(func(s *status) { s.MediumNote = err.Error() })
				continue
			}
			close(found)
			r.mu.Lock()
			late := r.promptShown
			r.mu.Unlock()
			if late {
				r.say("the medium %s is there now, at %s", label, MediumDir)
			}
			return
		}
		pause := 100 * time.Millisecond
		if time.Since(began) > 20*time.Second {
			pause = 2 * time.Second
		}
		time.Sleep(pause)
	}
}

// blockDevices are the device nodes that may hold the medium, whole disks before their partitions.
func blockDevices() []string {
	entries, _ := os.ReadDir("/sys/class/block")
	var paths []string
	for _, e := range entries {
		if mayHoldMedium(e.Name()) {
			paths = append(paths, "/dev/"+strings.ReplaceAll(e.Name(), "!", "/"))
		}
	}
	return paths
}

func labelOf(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], 16*2048); err != nil && err != io.EOF {
		return "", err
	}
	return volumeLabel(f), nil
}

func (r *rescuer) mountMedium(device, label string) error {
	if err := unix.Mount(device, MediumDir, "iso9660", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("cannot mount the medium %s on %s: %w", label, device, err)
	}
	backups, _ := filepath.Glob(MediumDir + "/backup/*")
	r.mu.Lock()
	r.mediumDevice = device
	r.st.Medium = label + " on " + device
	r.st.Backup = len(backups) > 0
	r.mu.Unlock()
	r.log.kmsg("medium %s found on %s after %.1f s", label, device, uptime().Seconds())
	return nil
}
