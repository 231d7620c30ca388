package inspect

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/tool/cryptsetup"
)

const cryptTodo = "take it out of the backup by this name; it must be made anew by hand"

// cryptKinds are the kinds of open encrypted devices beside LUKS, by what
// device mapper calls them (lib/libdevmapper.c of cryptsetup).
var cryptKinds = []struct{ uuid, prefix, what string }{
	{"CRYPT-PLAIN-", "plain", "is encrypted without a header (plain dm-crypt)"},
	{"CRYPT-LOOPAES-", "loopaes", "is encrypted in the way of loop-AES"},
	{"CRYPT-TCRYPT-", "tcrypt", "is a TrueCrypt or VeraCrypt volume"},
	{"CRYPT-BITLK-", "bitlocker", "is encrypted with BitLocker"},
	{"CRYPT-FVAULT2-", "fvault2", "is encrypted with FileVault"},
	{"CRYPT-INTEGRITY-", "integrity", "is a dm-integrity device"},
	{"CRYPT-VERITY-", "verity", "is a dm-verity device"},
}

// foreignCrypt names an open encrypted device that is not LUKS.
func (in *inspector) foreignCrypt(n *node) {
	if isLUKS(n) || strings.HasPrefix(n.dmUUID, "CRYPT-SUBDEV-") {
		return // see crypts; a LUKS device that is authenticated stands on a SUBDEV
	}
	for _, k := range cryptKinds {
		if !strings.HasPrefix(n.dmUUID, k.uuid) {
			continue
		}
		if line := in.crypttab(n.dmName); k.prefix == "plain" && line.random() {
			in.random = append(in.random, n)
			in.note("swap:"+n.dmName, "", "%s is encrypted with a new random key at every start (crypttab), and made anew then: no key of it is kept", n.dmName)
			return
		}
		in.blocking(k.prefix+":"+n.dmName, cryptTodo, "%s %s, which cannot be recorded", n.dmName, k.what)
		return
	}
	in.blocking("crypt:"+n.dmName, cryptTodo, "%s is encrypted in a way that is not known (%s)", n.dmName, n.dmUUID)
}

func isLUKS(n *node) bool {
	return strings.HasPrefix(n.dmUUID, "CRYPT-LUKS1-") || strings.HasPrefix(n.dmUUID, "CRYPT-LUKS2-")
}

// below are the devices that a device-mapper device stands on.
func (in *inspector) below(n *node) []*node {
	var out []*node
	list, _ := os.ReadDir(in.path(sysBlock + "/" + n.kname + "/slaves"))
	for _, e := range list {
		if b := in.nodes[e.Name()]; b != nil {
			out = append(out, b)
		}
	}
	return out
}

// crypts records the LUKS devices that are open. It comes before the volume
// groups, which may lie on them; what a device that lies on a volume stands on
// is known behind them only (see cryptsOn).
func (in *inspector) crypts() {
	var open []*node
	for _, n := range in.nodes {
		if isLUKS(n) {
			open = append(open, n)
		}
	}
	slices.SortFunc(open, func(a, b *node) int { return strings.Compare(a.dmName, b.dmName) })
	for _, n := range open {
		on := in.below(n)
		if len(on) != 1 {
			in.blocking("luks:"+n.dmName, cryptTodo, "%s is encrypted with LUKS on something that is not known", n.dmName)
			continue
		}
		c, ok := in.crypt(n, on[0])
		if !ok {
			continue
		}
		n.ref, n.path, n.leaf = machine.CryptRef(n.dmName), "/dev/mapper/"+n.dmName, true
		in.probe(n)
		in.m.Crypts = append(in.m.Crypts, c)
	}
}

// crypt reads the header of an open device. What a header cannot bring back is
// a finding.
func (in *inspector) crypt(n, on *node) (machine.Crypt, bool) {
	name := "luks:" + n.dmName
	dev := on.path
	if on.dmName != "" {
		dev = "/dev/mapper/" + on.dmName
	}
	if strings.HasPrefix(on.dmUUID, "CRYPT-SUBDEV-") {
		in.blocking(name, cryptTodo, "%s is encrypted and authenticated (LUKS2 with integrity), which cannot be made again", n.dmName)
		return machine.Crypt{}, false
	}
	f, err := os.Open(in.path(dev))
	var h cryptsetup.Header
	if err == nil {
		defer f.Close()
		h, err = cryptsetup.ReadHeader(f)
	}
	switch {
	case errors.Is(err, cryptsetup.ErrNot):
		in.blocking(name, cryptTodo, "%s is encrypted with LUKS, and its header is not on %s (a detached header)", n.dmName, dev)
	case err != nil:
		in.blocking(name, "run as root, outside of a container", "the LUKS header of %s cannot be read: %v", n.dmName, err)
	case !strings.EqualFold(strings.ReplaceAll(h.Crypt.UUID, "-", ""), uuidOf(n)):
		in.blocking(name, cryptTodo, "%s was opened by another header than the one on %s (a detached header)", n.dmName, dev)
	case len(h.Requires) > 0:
		in.blocking(name, "let cryptsetup finish what it does with it (cryptsetup luksDump), or take it out of the backup by this name",
			"%s has a header that is in a state which cannot be recorded: %s", n.dmName, strings.Join(h.Requires, ", "))
	case h.Integrity != "" && h.Integrity != "none":
		in.blocking(name, cryptTodo, "%s is encrypted and authenticated (%s), which cannot be made again", n.dmName, h.Integrity)
	default:
		c := h.Crypt
		c.Name, c.Size = n.dmName, n.size
		return c, true
	}
	return machine.Crypt{}, false
}

// uuidOf is the UUID in what device mapper calls an open device:
// CRYPT-LUKS2-<32 digits>-NAME.
func uuidOf(n *node) string {
	f := strings.SplitN(n.dmUUID, "-", 4)
	if len(f) < 4 {
		return ""
	}
	return f[2]
}

// cryptsOn says what the recorded LUKS devices stand on. One that stands on
// what cannot be recorded is a finding, and so is what stands on it.
func (in *inspector) cryptsOn() {
	for again := true; again; {
		again = false
		in.m.Crypts = slices.DeleteFunc(in.m.Crypts, func(c machine.Crypt) bool {
			n := in.byPath("/dev/mapper/" + c.Name)
			on := in.below(n)[0]
			if on.ref != "" {
				return false
			}
			again = true
			in.blocking("luks:"+c.Name, excludeTodo, "%s is encrypted with LUKS on %s, which cannot be recorded", c.Name, on.path)
			in.without(n)
			return true
		})
	}
	for i := range in.m.Crypts {
		in.m.Crypts[i].On = in.below(in.byPath("/dev/mapper/" + in.m.Crypts[i].Name))[0].ref
	}
}

// without drops a device that was taken for recorded, with the volume group on it.
func (in *inspector) without(n *node) {
	ref := n.ref
	n.ref, n.leaf = "", false
	in.m.VolumeGroups = slices.DeleteFunc(in.m.VolumeGroups, func(g machine.VolumeGroup) bool {
		if !slices.ContainsFunc(g.Physical, func(p machine.PhysicalVolume) bool { return p.On == ref }) {
			return false
		}
		in.blocking("lvm:"+g.Name, excludeTodo, "volume group %s lies on %s, which cannot be recorded", g.Name, ref.Body())
		for _, o := range in.nodes {
			if vg, _, ok := o.ref.LV(); ok && vg == g.Name {
				o.ref, o.leaf = "", false
			}
		}
		return true
	})
}

// closed names a LUKS device that is not open: what it holds is not known.
func (in *inspector) closed(n *node) {
	if l, ok := in.m.LayerOn(n.ref); ok && l.Crypt != nil {
		return
	}
	name := in.memberName(n, "luks")
	in.find(machine.Finding{
		Name: name, Blocking: !in.detachable(n), Todo: "open it (cryptsetup open), or " + excludeTodo,
		What: n.path + " is encrypted with LUKS and not open, or cannot be recorded: its content is not in the backup",
	})
}

// crypttabLine is a line of crypttab(5).
type crypttabLine struct{ name, device, key, options string }

func (in *inspector) crypttab(name string) crypttabLine {
	for line := range strings.Lines(in.text("/etc/crypttab")) {
		f := append(strings.Fields(line), "", "", "", "")
		if f[0] == name && !strings.HasPrefix(f[0], "#") {
			return crypttabLine{name: octal(f[0]), device: octal(f[1]), key: octal(f[2]), options: f[3]}
		}
	}
	return crypttabLine{}
}

// random says that the key is another one at every start.
func (l crypttabLine) random() bool {
	return l.key == "/dev/urandom" || l.key == "/dev/random" || l.key == "/dev/hwrng"
}

// belowRandom says that a device is what swap with a random key is made of.
func (in *inspector) belowRandom(n *node) bool {
	return slices.ContainsFunc(in.random, func(r *node) bool { return slices.Contains(in.below(r), n) })
}
