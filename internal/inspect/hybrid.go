package inspect

import (
	"os"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/sfdisk"
)

// hybrid records the MBR beside a GPT where it has partitions of its own:
// sfdisk tells of the GPT alone.
func (in *inspector) hybrid(n *node, t *machine.PartitionTable) {
	if t.Kind != machine.GPT {
		return
	}
	f, err := os.Open(in.path(n.path))
	if err != nil {
		return // that the device cannot be opened was said
	}
	defer f.Close()
	if t.Hybrid, err = sfdisk.Hybrid(f); err == nil && t.Hybrid != "" {
		in.note("hybrid:"+n.kname, "", "%s has a hybrid MBR beside its GPT: it is made again where the disk has the recorded size, and left out where partitions move", n.path)
	}
}
