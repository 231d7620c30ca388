package rescue

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

func TestKeymap(t *testing.T) {
	const debian = "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"de\"\nXKBVARIANT='nodeadkeys'\nXKBOPTIONS=\"\"\n"
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write([]byte("cached map")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	maps := map[string]string{"/usr/share/keymaps/i386/qwertz/de.kmap.gz": "map de", "/usr/share/keymaps/i386/include/linux-keys.inc": "keys", "/usr/share/keymaps/sun/sun.kmap.gz": "map sun"}
	for _, c := range []struct {
		what    string
		files   map[string]string
		without bool // loadkeys
		keymap  string
		want    map[string]string // path -> content; "": not there
		warning string
	}{
		{what: "nothing is known", keymap: ""},
		{what: "us by name", files: map[string]string{"/etc/vconsole.conf": "KEYMAP=us\n"}, keymap: "us"},
		{what: "us by layout", files: map[string]string{"/etc/default/keyboard": "XKBLAYOUT=us\nXKBVARIANT=\n"}, keymap: ""},
		{what: "by name", files: with(maps, "/etc/vconsole.conf", "# KEYMAP=fr\nKEYMAP=\"de\"\nFONT=x\n"), keymap: "de",
			want: map[string]string{"/usr/share/keymaps/i386/qwertz/de.kmap.gz": "map de", "/usr/share/keymaps/i386/include/linux-keys.inc": "keys", "/usr/share/keymaps/sun/sun.kmap.gz": ""}},
		{what: "a name that is not there", files: with(maps, "/etc/vconsole.conf", "KEYMAP=xx\n"), keymap: "xx", warning: "no map of that name"},
		{what: "by ckbcomp", files: map[string]string{"/etc/default/keyboard": debian, "/usr/bin/ckbcomp": "#!/usr/bin/perl\n"}, keymap: KeymapPath, want: map[string]string{KeymapPath: "made map"}},
		{what: "as console-setup kept it", files: map[string]string{"/etc/default/keyboard": debian, "/etc/console-setup/cached_UTF-8_del.kmap.gz": z.String()}, keymap: KeymapPath, want: map[string]string{KeymapPath: "cached map"}},
		{what: "by the name of the layout", files: with(maps, "/etc/default/keyboard", debian), keymap: "de", want: map[string]string{"/usr/share/keymaps/i386/qwertz/de.kmap.gz": "map de"}},
		{what: "neither map nor ckbcomp", files: map[string]string{"/etc/default/keyboard": debian}, keymap: "de", warning: "no map of that name"},
		{what: "no loadkeys", files: map[string]string{"/etc/default/keyboard": debian}, without: true, keymap: "de", warning: "loadkeys is not on this machine"},
		{what: "no loadkeys, and none needed", without: true},
	} {
		t.Run(c.what, func(t *testing.T) {
			tree := NewTree(t.TempDir())
			for p, s := range c.files {
				writeExecutable(t, tree.Root, p, s)
			}
			got := Contents{Tree: tree}
			if !c.without {
				got.Programs = []Installed{{Program: Program{Name: "loadkeys"}}}
			}
			r := &system.Recorder{Strict: true, Answers: map[string]system.Answer{"chroot " + tree.Root + " /usr/bin/ckbcomp -model pc105 de nodeadkeys ''": {Stdout: "made map"}}}
			var id Identity
			got.addKeymap(t.Context(), r, &id)
			if id.Settings.Keymap != c.keymap {
				t.Errorf("the map is %q, not %q", id.Settings.Keymap, c.keymap)
			}
			for p, want := range c.want {
				switch e := tree.entries[p]; {
				case e == nil && want != "":
					t.Errorf("%s is not on board", p)
				case e != nil && want == "":
					t.Errorf("%s is on board", p)
				case e != nil && e.Source == "" && string(e.Data) != want:
					t.Errorf("%s is %q", p, e.Data)
				}
			}
			if all := strings.Join(got.Warnings, "\n"); (c.warning == "") != (all == "") || !strings.Contains(all, c.warning) {
				t.Errorf("warnings: %s", all)
			}
		})
	}
}

// with is a map with one more entry.
func with(m map[string]string, k, v string) map[string]string {
	out := map[string]string{k: v}
	for k, v := range m {
		out[k] = v
	}
	return out
}
