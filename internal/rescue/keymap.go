package rescue

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// KeymapPath is where a keyboard map made for the console lies.
const KeymapPath = "/etc/mkcdrec/keymap.kmap"

// keymapDirs are where the distributions keep the maps of the console.
var keymapDirs = []string{"/usr/share/keymaps", "/usr/share/kbd/keymaps", "/usr/lib/kbd/keymaps"}

// addKeymap brings the keyboard map of the machine's console: by its name in
// vconsole.conf, or made from the layout in /etc/default/keyboard as Debian
// does. A warning says so where the rescue system will have the map us
// and the machine has not.
func (c *Contents) addKeymap(ctx context.Context, r system.Runner, id *Identity) {
	s := &id.Settings
	if s.Keymap == "" {
		s.Keymap = shellVariable(c.Tree, "/etc/vconsole.conf", "KEYMAP")
	}
	layout := shellVariable(c.Tree, "/etc/default/keyboard", "XKBLAYOUT")
	variant := shellVariable(c.Tree, "/etc/default/keyboard", "XKBVARIANT")
	if s.Keymap == "us" || s.Keymap == "" && (layout == "" || layout == "us" && strings.Trim(variant, ",") == "") {
		return // what the kernel has
	}
	made := s.Keymap == ""
	if made {
		s.Keymap, _, _ = strings.Cut(layout, ",")
	}
	without := func(why string) { // the rescue system will say it, too: it cannot load the map
		c.Warnings = append(c.Warnings, fmt.Sprintf("the keyboard of the rescue system is us, not %s: %s", s.Keymap, why))
	}
	if !slices.ContainsFunc(c.Programs, func(p Installed) bool { return p.Name == "loadkeys" && !p.Applet }) {
		without("loadkeys is not on this machine (package kbd)")
		return
	}
	if made {
		if b := c.consoleMap(ctx, r, layout, variant); b != nil {
			c.Tree.AddData(KeymapPath, 0o644, b)
			s.Keymap = KeymapPath
			return
		}
	}
	if !c.addKeymapFiles(s.Keymap) {
		without("there is no map of that name on this machine")
	}
}

// consoleMap is the map of an X layout for the console: as ckbcomp makes it,
// else as console-setup has kept it (setupcon(1)); nil if there is neither.
func (c *Contents) consoleMap(ctx context.Context, r system.Runner, layout, variant string) []byte {
	if p, ok := findProgram(c.Tree, "ckbcomp"); ok && r != nil {
		var args []string
		if model := shellVariable(c.Tree, "/etc/default/keyboard", "XKBMODEL"); model != "" {
			args = append(args, "-model", model)
		}
		args = append(args, layout, variant, shellVariable(c.Tree, "/etc/default/keyboard", "XKBOPTIONS"))
		res, err := r.Run(ctx, c.onMachine(system.Command{Name: p, Args: args}))
		if err == nil && len(res.Stdout) > 0 {
			return res.Stdout
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("cannot make a map of the keyboard %s for the console: %v", layout, err))
	}
	for _, p := range c.Tree.glob("/etc/console-setup/cached_*.kmap.gz") {
		b, err := readHost(c.Tree, p)
		if err != nil {
			continue
		}
		if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
			if b, err = io.ReadAll(z); err == nil {
				return b
			}
		}
	}
	return nil
}

// addKeymapFiles adds the maps for PCs, for they include each other by name
// (1 MB), if one of them has a name.
func (c *Contents) addKeymapFiles(name string) bool {
	if path.IsAbs(name) {
		_, err := c.Tree.AddHost(name)
		return err == nil
	}
	for _, d := range keymapDirs {
		if len(c.Tree.glob(path.Join(d, "*", name+".*map*")))+len(c.Tree.glob(path.Join(d, "*/*", name+".*map*"))) == 0 {
			continue
		}
		for _, sub := range []string{"i386", "include", "legacy/i386", "legacy/include", "xkb"} {
			if p := path.Join(d, sub); isDir(c.Tree, p) {
				if err := c.Tree.AddHostTree(p, nil); err != nil {
					c.Warnings = append(c.Warnings, err.Error())
				}
			}
		}
		return true
	}
	return false
}

// shellVariable reads NAME="value" from a file of the machine; "" if it is not there.
func shellVariable(t *Tree, file, name string) string {
	b, err := readHost(t, file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}
