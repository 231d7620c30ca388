package fit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

// matcher pairs recorded disks with disks here.
type matcher struct {
	needed  []machine.Disk
	free    []machine.Disk // candidates not taken yet
	here    machine.Machine
	wishes  Wishes
	pairs   []machine.Disk // one for each needed disk; Name "" while open
	choices []plan.Choice
	halves  []string // recorded names of the two disks of a mirror, of which any may become any
}

// match finds the disk here for each needed disk. The order of the rules is
// the order of their certainty: told by name, serial number, WWN, the only one
// of the same size and kind, as many alike as recorded, the only one left.
func match(needed []machine.Disk, recorded, here machine.Machine, w Wishes, halves []string) ([]machine.Disk, []plan.Choice, error) {
	m := &matcher{needed: needed, halves: halves, here: here, wishes: w, pairs: make([]machine.Disk, len(needed))}
	if err := m.candidates(); err != nil {
		return nil, nil, err
	}
	if err := m.mapped(); err != nil {
		return nil, nil, err
	}
	if err := m.byID("serial number", func(d machine.Disk) string { return d.Serial }); err != nil {
		return nil, nil, err
	}
	if err := m.byID("WWN", func(d machine.Disk) string { return d.WWN }); err != nil {
		return nil, nil, err
	}
	m.keepOthers(recorded)
	m.bySize()
	m.alike()
	if err := m.last(); err != nil {
		return nil, nil, err
	}
	return m.pairs, m.choices, nil
}

// Usable are the disks here that the wishes allow to be overwritten.
func Usable(here machine.Machine, w Wishes) ([]machine.Disk, error) {
	m := &matcher{here: here, wishes: w}
	err := m.candidates()
	return m.free, err
}

// candidates sets free to the disks that may be used at all.
func (m *matcher) candidates() error {
	for _, d := range m.here.Disks {
		switch {
		case slices.Contains(m.wishes.Protected, d.Name), d.ReadOnly, d.Size <= 0:
		case len(m.wishes.Disks) > 0 && !slices.ContainsFunc(m.wishes.Disks, func(s string) bool { return Names(s, d) }):
		case len(m.wishes.Disks) == 0 && d.Removable && !m.isMapped(d.Name):
			// A stick or card is never chosen unless it is named.
		default:
			m.free = append(m.free, d)
		}
	}
	for _, s := range m.wishes.Disks {
		if err := m.checkWish(s); err != nil {
			return err
		}
	}
	for from, to := range m.wishes.Map {
		if !slices.ContainsFunc(m.needed, func(d machine.Disk) bool { return d.Name == from }) {
			return fail.Hint(fail.New(fail.Usage, "cannot map disk %s: the backup needs no disk of that name", from), "the recorded disks are: %s", list(m.needed))
		}
		if err := m.checkWish(to); err != nil {
			return err
		}
	}
	if m.wishes.Only && len(m.free) != 1 {
		return fail.Hint(fail.New(fail.Refused, "the answers say \"the only disk\", and there are %d disks that could be used: %s", len(m.free), list(m.free)),
			"name the disk instead, as in disks = [\"serial:...\"]")
	}
	return nil
}

// checkWish refuses a named disk that is not here, protected, or not unique.
func (m *matcher) checkWish(s string) error {
	var found []machine.Disk
	for _, d := range m.here.Disks {
		if Names(s, d) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return fail.Hint(fail.New(fail.Refused, "no disk here is %q", s), "the disks here are: %s", list(m.here.Disks))
	case len(found) > 1:
		return fail.New(fail.Refused, "%q names more than one disk: %s", s, list(found))
	case slices.Contains(m.wishes.Protected, found[0].Name):
		return fail.New(fail.Refused, "disk %s holds the medium or the backup and is never overwritten", Describe(found[0]))
	case found[0].ReadOnly:
		return fail.New(fail.Refused, "disk %s is read-only", Describe(found[0]))
	}
	return nil
}

// Names says whether a wish ("serial:S", "wwn:W", "/dev/vda", "vda") means this disk.
func Names(wish string, d machine.Disk) bool {
	if s, ok := strings.CutPrefix(wish, "serial:"); ok {
		return s != "" && s == d.Serial
	}
	if s, ok := strings.CutPrefix(wish, "wwn:"); ok {
		return s != "" && s == d.WWN
	}
	return wish != "" && (wish == d.Name || wish == d.Path || wish == "/dev/"+d.Name)
}

func (m *matcher) isMapped(name string) bool {
	for _, to := range m.wishes.Map {
		if strings.TrimPrefix(to, "/dev/") == name {
			return true
		}
	}
	return false
}

func (m *matcher) take(i int, d machine.Disk, why string) {
	m.pairs[i] = d
	m.free = filter(m.free, func(f machine.Disk) bool { return f.Name != d.Name })
	m.choices = append(m.choices, plan.Choice{Subject: "disk " + m.needed[i].Name, Chosen: d.Name, Why: why})
}

// toldByName is why a disk that was mapped was chosen.
const toldByName = "told so by name"

// mapped takes the disks that the administrator mapped by name.
func (m *matcher) mapped() error {
	for i, n := range m.needed {
		to, ok := m.wishes.Map[n.Name]
		if !ok {
			continue
		}
		at := slices.IndexFunc(m.free, func(d machine.Disk) bool { return Names(to, d) })
		if at < 0 {
			return fail.New(fail.Refused, "cannot map disk %s to %s: that disk is mapped twice or is not among the disks allowed", n.Name, to)
		}
		m.take(i, m.free[at], toldByName)
	}
	return nil
}

// byID takes disks whose identity is the recorded one. Two disks with the same
// serial number prove nothing (cheap USB bridges, cloned virtual machines):
// that is refused unless they were mapped by name.
func (m *matcher) byID(what string, id func(machine.Disk) string) error {
	for i, n := range m.needed {
		if m.pairs[i].Name != "" || id(n) == "" {
			continue
		}
		for j, o := range m.needed {
			if j != i && m.pairs[j].Name == "" && id(o) == id(n) {
				return fail.Hint(fail.New(fail.Refused, "recorded disks %s and %s have the same %s %s", n.Name, o.Name, what, id(n)),
					"say which disk is which, as in --map %s=NAME", n.Name)
			}
		}
		found := filter(m.free, func(d machine.Disk) bool { return id(d) == id(n) })
		if len(found) > 1 {
			if n.Multipath() {
				return fail.Hint(fail.New(fail.Refused, "disks with the same %s %s: %s", what, id(n), list(found)),
					"they may be paths to one disk, which %s was: start multipath (multipath -v2), or say which one to use, as in --map %s=%s", n.Name, n.Name, found[0].Name)
			}
			return fail.Hint(fail.New(fail.Refused, "disks with the same %s %s: %s", what, id(n), list(found)),
				"say which one to use, as in --map %s=%s", n.Name, found[0].Name)
		}
		if len(found) == 1 {
			m.take(i, found[0], "same "+what+" "+id(n))
		}
	}
	return nil
}

// keepOthers removes from the candidates the disks that are known to be other
// recorded disks, which the backup does not need: data disks stay untouched.
func (m *matcher) keepOthers(recorded machine.Machine) {
	if len(m.wishes.Disks) > 0 {
		return // named disks were allowed on purpose
	}
	for _, r := range recorded.Disks {
		if slices.ContainsFunc(m.needed, func(n machine.Disk) bool { return n.Name == r.Name }) {
			continue
		}
		m.free = filter(m.free, func(d machine.Disk) bool {
			same := r.Serial != "" && d.Serial == r.Serial || r.WWN != "" && d.WWN == r.WWN
			if same {
				m.choices = append(m.choices, plan.Choice{Subject: "disk " + d.Name, Chosen: "left alone",
					Why: "it is the recorded disk " + r.Name + ", which the backup does not need"})
			}
			return !same
		})
	}
}

// alike says that two disks cannot be told apart by size and kind.
func alike(a, b machine.Disk) bool { return a.Size == b.Size && a.Rotational == b.Rotational }

// alike takes disks of one size and kind for as many recorded ones of that
// size and kind, in order: all of them are rewritten, whichever becomes which.
// Where there is one more, it could be somebody's data, and nothing is taken.
func (m *matcher) alike() {
	for i, n := range m.needed {
		same := filter(m.free, func(d machine.Disk) bool { return alike(n, d) })
		var open []int
		for j, o := range m.needed {
			if m.pairs[j].Name == "" && alike(n, o) {
				open = append(open, j)
			}
		}
		if m.pairs[i].Name != "" || len(open) < 2 || len(same) != len(open) {
			continue
		}
		for k, j := range open {
			m.take(j, same[k], fmt.Sprintf("one of the %d disks of the same size and kind, in order", len(same)))
		}
	}
}

// bySize takes a disk that alone has the size and kind of a recorded disk
// that alone has them, too.
func (m *matcher) bySize() {
	for i, n := range m.needed {
		if m.pairs[i].Name != "" {
			continue
		}
		unique := true
		for j, o := range m.needed {
			unique = unique && (j == i || m.pairs[j].Name != "" || !alike(n, o))
		}
		if found := filter(m.free, func(d machine.Disk) bool { return alike(n, d) }); unique && len(found) == 1 {
			m.take(i, found[0], "the only disk of the same size and kind")
		}
	}
}

// last takes the only disk left for the only recorded disk left; anything
// else is not unique and refused.
func (m *matcher) last() error {
	var open []int
	for i := range m.needed {
		if m.pairs[i].Name == "" {
			open = append(open, i)
		}
	}
	switch {
	case len(open) == 0:
		return nil
	case len(m.free) < len(open):
		return fail.Hint(fail.New(fail.Refused, "the backup needs %d %w, for: %s", len(open)-len(m.free), errTooFew, list(m.disksAt(open))),
			"usable: %s; the disk with the medium or backup, read-only and removable disks are not used unless mapped by name", list(m.free))
	case len(open) == 1 && len(m.free) == 1:
		m.take(open[0], m.free[0], "the only disk that can be used")
		return nil
	}
	halves := !slices.ContainsFunc(open, func(i int) bool { return !slices.Contains(m.halves, m.needed[i].Name) })
	if halves && len(open) == len(m.free) {
		for k, d := range slices.Clone(m.free) {
			m.take(open[k], d, "the disks that can be used are as many as the mirror needs")
		}
		return nil
	}
	n := m.needed[open[0]]
	if halves && len(open) == 1 {
		return fail.Hint(fail.New(fail.Refused, "cannot tell which disk is to become the second half of the mirror; candidates: %s", list(m.free)), "name it: --mirror=%s", m.free[0].Name)
	}
	if halves {
		return fail.Hint(fail.New(fail.Refused, "cannot tell which disks are to become a mirror; candidates: %s", list(m.free)),
			"name them: --disk %s --disk %s", m.free[0].Name, m.free[1].Name)
	}
	return fail.Hint(fail.New(fail.Refused, "cannot tell which disk is to become %s; candidates: %s", Describe(n), list(m.free)),
		"name it: --disk %s, or --map %s=%s", m.free[0].Name, n.Name, m.free[0].Name)
}

func (m *matcher) disksAt(at []int) []machine.Disk {
	var out []machine.Disk
	for _, i := range at {
		out = append(out, m.needed[i])
	}
	return out
}

// Describe names a disk for people: name, size, model, serial number.
func Describe(d machine.Disk) string {
	s := fmt.Sprintf("%s (%s", d.Name, plan.Size(d.Size))
	if d.Model != "" {
		s += ", " + d.Model
	}
	if d.Serial != "" {
		s += ", serial " + d.Serial
	}
	return s + ")"
}

func list(disks []machine.Disk) string {
	if len(disks) == 0 {
		return "none"
	}
	var s []string
	for _, d := range disks {
		s = append(s, Describe(d))
	}
	return strings.Join(s, ", ")
}
