package rescue

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// furtherPages are pages that no program gives its name to.
var furtherPages = []string{"fstab.5", "crypttab.5", "mdadm.conf.5", "md.4", "ext4.5", "xfs.5", "btrfs.5", "sshd_config.5", "ssh_config.5", "lvm.conf.5",
	"lvmthin.7", "lvmraid.7", "nfs.5", "bash-builtins.7", "mke2fs.conf.5", "modprobe.d.5", "hosts.5", "resolv.conf.5", "bootparam.7"}

const manDir = "/usr/share/man"

// addManual adds the manual pages of the programs on board, and "man".
// The pages go in as they are: to format them all now would take a minute,
// groff on board is small.
func (c *Contents) addManual(o Options) error {
	c.Tree.AddData("/usr/bin/man", 0o755, []byte(manScript))
	idx := indexPages(c.Tree)
	for _, p := range c.Programs {
		if !p.Applet {
			c.addPage(idx, path.Base(p.Name))
			c.addPage(idx, path.Base(p.Path))
		}
	}
	for _, n := range furtherPages {
		c.addPage(idx, n)
	}
	for _, n := range o.ManualPages {
		if !c.addPage(idx, n) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("there is no manual page %s (settings: manual_pages)", n))
		}
	}
	if o.OwnPages == nil {
		return nil
	}
	own, err := o.OwnPages(o.Identity.Made)
	if err != nil {
		return err
	}
	for _, p := range own { // last: an installed mkcdrec can be another version
		_, section, ok := cutSection(p.Name)
		if !ok {
			return fmt.Errorf("manual page %q has no section", p.Name)
		}
		c.Tree.AddData(path.Join(manDir, "man"+section, p.Name), 0o644, p.Text)
	}
	return nil
}

// cutSection parts "fstab.5" into name and section.
func cutSection(s string) (name, section string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i <= 0 || i == len(s)-1 || s[i+1] < '1' || s[i+1] > '9' {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// pageIndex knows the files of all manual pages by name. Looking each name up
// by a glob would read every directory hundreds of times.
type pageIndex map[string][]string

func indexPages(t *Tree) pageIndex {
	idx := pageIndex{}
	files, _ := filepath.Glob(t.host(path.Join(manDir, "man[1-9]*", "*"))) // constant pattern
	for _, hp := range files {
		base := filepath.Base(hp)
		for _, suffix := range []string{".gz", ".xz", ".zst", ".bz2"} {
			base = strings.TrimSuffix(base, suffix)
		}
		name, _, ok := cutSection(base)
		rel, err := filepath.Rel(t.Root, hp)
		if !ok || err != nil {
			continue
		}
		idx[name] = append(idx[name], path.Join("/", rel))
		idx[base] = append(idx[base], path.Join("/", rel)) // fstab.5
	}
	return idx
}

// addPage adds the pages of a name ("mount" or "fstab.5") with the pages that
// they include, and says whether there are any.
func (c *Contents) addPage(idx pageIndex, name string) bool {
	for _, p := range idx[name] {
		c.addPageFile(p, 0)
	}
	return len(idx[name]) > 0
}

func (c *Contents) addPageFile(p string, depth int) {
	if depth > 3 {
		return
	}
	real, err := c.Tree.AddHost(p)
	if err != nil {
		return // a dangling alternative: there is no page then
	}
	if to := includedPage(c.Tree.host(real)); to != "" {
		m, _ := filepath.Glob(c.Tree.host(path.Join(manDir, to)) + "*") // a bad pattern matches nothing
		for _, hp := range m {
			if rel, err := filepath.Rel(c.Tree.Root, hp); err == nil {
				c.addPageFile(path.Join("/", rel), depth+1)
			}
		}
	}
}

// includedPage is X of a page that only says ".so X".
func includedPage(file string) string {
	fi, err := os.Stat(file)
	if err != nil || fi.Size() > 300 {
		return ""
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
		if b, err = io.ReadAll(io.LimitReader(z, 4096)); err != nil {
			return ""
		}
	}
	for line := range strings.Lines(string(b)) {
		if to, ok := strings.CutPrefix(strings.TrimSpace(line), ".so "); ok {
			return strings.TrimSpace(to)
		}
	}
	return ""
}

// manScript shows a page of /usr/share/man.
const manScript = `#!/bin/bash
# man - show a manual page of the rescue system
# man [SECTION] NAME   or   man -k WORD
dir=/usr/share/man
if [ "$1" = -k ] && [ -n "$2" ]; then
	ls $dir/man*/ | grep -i -- "$2" | sed 's/\.gz$//; s/\.xz$//; s/\.zst$//; s/\.bz2$//' | sort -u
	exit
fi
sec='[1-9]*'
case $1 in [1-9]) sec="$1*"; shift ;; esac
if [ -z "$1" ]; then
	echo "What manual page do you want? There are:"
	ls $dir/man*/ | sed '/:$/d; /^$/d; s/\..*//' | sort -u | tr '\n' ' '
	echo
	exit 1
fi
show() {
	case $1 in
	*.gz) zcat "$1" ;; *.xz) xzcat "$1" ;; *.zst) zstd -dcq "$1" ;; *.bz2) bzip2 -dc "$1" ;; *) cat "$1" ;;
	esac
}
find_page() {
	for s in 1 8 5 7 4 2 3 6 9; do
		for f in $dir/man$s/"$1".$sec; do
			[ -e "$f" ] && { echo "$f"; return 0; }
		done
	done
	return 1
}
page=$(find_page "$1") || { echo "No manual entry for $1" >&2; exit 16; }
for i in 1 2 3; do
	to=$(show "$page" | head -n 1 | sed -n 's/^\.so  *//p')
	[ -n "$to" ] || break
	for f in "$dir/$to"*; do page=$f; break; done
done
case $LC_ALL$LC_CTYPE$LANG in *UTF-8* | *utf8*) dev=utf8 ;; *) dev=ascii ;; esac
width=$(stty size 2>/dev/null | cut -d ' ' -f 2)
[ "${width:-0}" -ge 40 ] && [ "$width" -le 100 ] || width=80
width=$((width - 2))
pager=${MANPAGER:-less -Rs}
[ -t 1 ] || pager=cat
if command -v groff >/dev/null; then
	show "$page" | groff -k -t -mandoc -T$dev -rLL=${width}n -rLT=${width}n -rIN=7n 2>/dev/null | $pager
else
	show "$page" | sed -e '/^[.'"'"']\\"/d; s/^\.[A-Za-z]* *//; s/\\f[A-Z]//g; s/\\-/-/g; s/\\(..//g; s/\\&//g' | $pager
fi
`
