package restore

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/identity"
)

// replacedCards gives the network cards here the names and the configuration of the
// recorded ones whose place they have taken.
func (x *executor) replacedCards() error {
	if x.Images != nil {
		return nil // the cards of this machine are not those of the next one
	}
	var recorded []identity.Card
	for _, i := range x.m.Network.Interfaces {
		if i.Kind == "" {
			recorded = append(recorded, identity.Card{Name: i.Name, MAC: i.MAC, Driver: i.Driver})
		}
	}
	pairs, warnings := identity.MatchCards(recorded, x.cardsHere())
	x.report.Warnings = append(x.report.Warnings, warnings...)
	if len(pairs) == 0 {
		return nil
	}
	edits, made := identity.Cards(x.configuration(identity.CardPatterns()), pairs)
	for _, e := range edits {
		if err := x.edit(e.Name, func([]byte) ([]byte, string) { return e.Content, e.What }); err != nil {
			return err
		}
	}
	if x.program("udevadm") == "" {
		if len(made) > 0 {
			x.warn("a network card was replaced, and the restored system has no udev that gives the new one the recorded name")
		}
		return nil
	}
	for _, f := range made {
		if !x.exists(f.Name) {
			if err := x.inRoot(func(r *os.Root) error { return r.MkdirAll(path.Dir(f.Name), 0o755) }); err != nil {
				return err
			}
			if err := x.create(f.Name); err != nil {
				return err
			}
		}
		x.changed[path.Dir(f.Name)] = true
		if err := x.edit(f.Name, func([]byte) ([]byte, string) { return f.Content, "gives a card that was replaced the recorded name" }); err != nil {
			return err
		}
	}
	return nil
}

// configuration reads the files of these patterns; what is no regular file is left
// out.
func (x *executor) configuration(patterns []string) (files []identity.File) {
	seen := map[string]bool{}
	for _, pattern := range patterns {
		for _, name := range x.glob(pattern) {
			if seen[name] || !x.regular(name) {
				continue
			}
			seen[name] = true
			_ = x.inRoot(func(r *os.Root) error {
				b, err := r.ReadFile(name)
				if err == nil {
					files = append(files, identity.File{Name: name, Content: b})
				}
				return err
			})
		}
	}
	return files
}

// cardsHere are the network cards: the interfaces with a device behind them (sysfs).
func (x *executor) cardsHere() (out []identity.Card) {
	dir := filepath.Join(x.Root, "/sys/class/net")
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), "device")); err != nil {
			continue
		}
		c := identity.Card{Name: e.Name()}
		if b, err := os.ReadFile(filepath.Join(dir, e.Name(), "address")); err == nil {
			c.MAC = strings.TrimSpace(string(b))
		}
		if to, err := os.Readlink(filepath.Join(dir, e.Name(), "device/driver")); err == nil {
			c.Driver = filepath.Base(to)
		}
		out = append(out, c)
	}
	return out
}
