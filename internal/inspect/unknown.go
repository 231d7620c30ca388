package inspect

import (
	"bytes"
	"io"
	"os"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// looked is how much of the start of a device is read to tell what is empty
// from what is not known.
const looked = 1 << 20

// unknownData names a device without any signature that is not empty all the
// same: a database, a cluster's disk, a guest's disk, or what is left of
// something that was wiped. What begins with zeros is taken for empty.
func (in *inspector) unknownData(n *node) bool {
	if n.probed.Type != "" || n.probed.PTType != "" || n.probed.Usage == "open" || in.emptyByType(n) {
		return false
	}
	f, err := os.Open(in.path(n.path))
	if err != nil {
		return false // that it could not be probed was said
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, looked))
	if err != nil || len(bytes.Trim(b, "\x00")) == 0 {
		return false
	}
	if in.unknown == nil {
		in.unknown = map[*node]bool{}
	}
	in.unknown[n] = true
	in.find(machine.Finding{
		Name: string(n.ref), Blocking: !in.detachable(n),
		Todo: "find out whose it is; " + out + ". If nothing of it is needed, clear its start: dd if=/dev/zero of=" + n.path + " bs=1M count=1",
		What: n.path + " holds data of a kind that is not known (no signature, and not empty): it is not in the backup",
	})
	return true
}

// held writes down what a partition holds that has no place in the model: the
// plan that overwrites it, or makes it anew empty, says so.
func (in *inspector) held(n *node) {
	dev, err := in.m.Resolve(n.ref)
	if err != nil || dev.Partition == nil || in.active[n.kname] || in.m.FileSystemOn(n.ref) != nil || in.m.SwapOn(n.ref) != nil {
		return
	}
	if _, ok := in.m.LayerOn(n.ref); ok {
		return
	}
	kind := n.probed.Type
	if kind == "" {
		kind = foreignTypes[strings.ToUpper(dev.Partition.Type)]
	}
	if kind == "" && in.unknown[n] {
		kind = "data of a kind that is not known"
	}
	dev.Partition.Holds = kind
}
