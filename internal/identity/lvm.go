package identity

import (
	"regexp"
	"strings"
)

// volumeLink is a link of udev to a logical volume by the UUIDs of its group
// and its own, 32 signs each, without hyphens.
var volumeLink = regexp.MustCompile(`/dev/disk/by-id/dm-uuid-LVM-([0-9A-Za-z]{64})\b`)

// VolumeLinks replaces links to logical volumes that go by UUIDs, which are new
// ones after a restore, by names: names maps the UUIDs of a group and a volume,
// one behind the other, to the node of the volume.
func VolumeLinks(content []byte, names map[string]string) []byte {
	plain := map[string]string{}
	for uuids, node := range names {
		plain[strings.ReplaceAll(uuids, "-", "")] = node
	}
	return volumeLink.ReplaceAllFunc(content, func(b []byte) []byte {
		if node := plain[string(volumeLink.FindSubmatch(b)[1])]; node != "" {
			return []byte(node)
		}
		return b
	})
}

// steady are links of udev that are the same after a restore: by the names of
// volumes, the UUID of a physical volume, of a LUKS device, an array.
func steady(word string) bool {
	_, link, _ := strings.Cut(word, "/dev/disk/by-id/")
	for _, p := range []string{"dm-name-", "lvm-pv-uuid-", "md-uuid-", "md-name-"} {
		if strings.HasPrefix(link, p) {
			return true
		}
	}
	return false
}

// LVMConf rewrites the kernel names of disks in the filters of an lvm.conf(5),
// and lists what else in them goes by the old hardware. Comments, which are full
// of examples, stay as they are.
func LVMConf(content []byte, renames map[string]string) (out []byte, pinned []string) {
	var b strings.Builder
	for line := range strings.Lines(string(content)) {
		code, _, _ := strings.Cut(line, "#")
		if strings.Contains(code, "/dev/") {
			pinned = append(pinned, Pinned([]byte(code))...)
			line = string(Devices([]byte(code), renames)) + line[len(code):]
		}
		b.WriteString(line)
	}
	return []byte(b.String()), pinned
}

// ForeignDevice is the first entry of a devices file of LVM (lvmdevices(8)) that
// names a disk by an ID which is none of ids: serial numbers and WWNs. "" where
// there is none.
func ForeignDevice(content []byte, ids []string) string {
	for line := range strings.Lines(string(content)) {
		kind, name := "", ""
		for word := range strings.FieldsSeq(line) {
			if strings.HasPrefix(word, "#") {
				break
			}
			if v, ok := strings.CutPrefix(word, "IDTYPE="); ok {
				kind = v
			}
			if v, ok := strings.CutPrefix(word, "IDNAME="); ok {
				name = v
			}
		}
		if kind != "sys_wwid" && kind != "sys_serial" {
			continue // by what is the same after a restore, or by a name
		}
		known := false
		for _, id := range ids {
			known = known || id != "" && strings.Contains(bare(name), bare(id))
		}
		if !known {
			return name
		}
	}
	return ""
}

// bare takes from an ID of a disk what says in which way it is written.
func bare(id string) string {
	id = strings.ToLower(strings.NewReplacer(" ", "", "_", "").Replace(id))
	for _, p := range []string{"0x", "naa.", "eui.", "t10."} {
		id = strings.TrimPrefix(id, p)
	}
	return id
}
