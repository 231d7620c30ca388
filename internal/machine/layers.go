package machine

import "fmt"

// Layer is something between disks and file systems, made of devices and
// giving new ones. Exactly one pointer is set; it points into the Machine.
type Layer struct {
	Array *Array
	Crypt *Crypt
	Group *VolumeGroup
}

// Name says what the layer is: "array md0", "encrypted device home", "volume group vg0".
func (l Layer) Name() string {
	switch {
	case l.Array != nil:
		return "array " + l.Array.Name
	case l.Crypt != nil:
		return "encrypted device " + l.Crypt.Name
	}
	return "volume group " + l.Group.Name
}

// On are the devices that the layer is made of.
func (l Layer) On() []Ref {
	var out []Ref
	switch {
	case l.Array != nil:
		for _, m := range l.Array.Members {
			out = append(out, m.On)
		}
	case l.Crypt != nil:
		out = append(out, l.Crypt.On)
	default:
		for _, p := range l.Group.Physical {
			out = append(out, p.On)
		}
	}
	return out
}

// Gives are the devices that the layer makes: of an array with a partition
// table its partitions, too.
func (l Layer) Gives() []Ref {
	switch {
	case l.Array != nil:
		out := []Ref{ArrayRef(l.Array.Name)}
		if l.Array.Table != nil {
			for _, p := range l.Array.Table.Partitions {
				out = append(out, PartRef(l.Array.Name, p.Number))
			}
		}
		return out
	case l.Crypt != nil:
		return []Ref{CryptRef(l.Crypt.Name)}
	}
	var out []Ref
	for _, lv := range l.Group.Logical {
		out = append(out, LVRef(l.Group.Name, lv.Name))
	}
	return out
}

// all are the layers in recorded order.
func (m *Machine) all() []Layer {
	var out []Layer
	for i := range m.Arrays {
		out = append(out, Layer{Array: &m.Arrays[i]})
	}
	for i := range m.Crypts {
		out = append(out, Layer{Crypt: &m.Crypts[i]})
	}
	for i := range m.VolumeGroups {
		out = append(out, Layer{Group: &m.VolumeGroups[i]})
	}
	return out
}

// layerOf is the layer that gives a device; ok is false for what lies on a
// disk, and for a Ref that points at nothing.
func (m *Machine) layerOf(r Ref) (l Layer, ok bool) {
	dev, err := m.Resolve(r)
	switch {
	case err != nil:
	case dev.Array != nil:
		return Layer{Array: dev.Array}, true
	case dev.Crypt != nil:
		return Layer{Crypt: dev.Crypt}, true
	case dev.Group != nil:
		return Layer{Group: dev.Group}, true
	}
	return Layer{}, false
}

// Layers are all layers in an order in which they can be made: each after
// those that it stands on. The error names a layer that stands on itself, or
// on nothing.
func (m *Machine) Layers() ([]Layer, error) {
	var out []Layer
	state := map[string]int{} // 1: being looked at, 2: in out
	var visit func(l Layer) error
	visit = func(l Layer) error {
		switch state[l.Name()] {
		case 1:
			return fmt.Errorf("%s stands on itself", l.Name())
		case 2:
			return nil
		}
		state[l.Name()] = 1
		for _, r := range l.On() {
			if _, err := m.Resolve(r); err != nil {
				return fmt.Errorf("%s: %w", l.Name(), err)
			}
			if below, ok := m.layerOf(r); ok {
				if err := visit(below); err != nil {
					return err
				}
			}
		}
		state[l.Name()] = 2
		out = append(out, l)
		return nil
	}
	for _, l := range m.all() {
		if err := visit(l); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// LayerOn is the layer that uses a device; ok is false where none does.
func (m *Machine) LayerOn(r Ref) (l Layer, ok bool) {
	for _, l := range m.all() {
		for _, on := range l.On() {
			if on == r {
				return l, true
			}
		}
	}
	return Layer{}, false
}

// Below are the devices that a device stands on, itself first, each once: of a
// volume all members of its group, of a partition of an array the array. With a
// file system over several devices on it, those of all of them: none is of use
// without the others.
func (m *Machine) Below(r Ref) []Ref {
	var out []Ref
	seen := map[Ref]bool{} // a layout that was tampered with could point in circles
	var visit func(r Ref)
	visit = func(r Ref) {
		dev, err := m.Resolve(r)
		if err != nil || seen[r] {
			return
		}
		seen[r] = true
		out = append(out, r)
		if dev.Partition != nil {
			if dev.Array != nil {
				visit(ArrayRef(dev.Array.Name))
			} else {
				visit(DiskRef(dev.Disk.Name))
			}
			return
		}
		if l, ok := m.layerOf(r); ok {
			for _, on := range l.On() {
				visit(on)
			}
		}
	}
	for _, t := range m.together(r) {
		visit(t)
	}
	return out
}
