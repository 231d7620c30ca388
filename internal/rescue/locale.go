package rescue

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// plainLocale is the locale of a rescue system that has no other: it is in
// every glibc since 2.35, takes some hundred KiB, and shows any script.
const plainLocale = "C.UTF-8"

const (
	localeDir     = "/usr/lib/locale"
	localeArchive = localeDir + "/locale-archive"
	// maxLocaleArchive is how large an archive may be, in bytes: Debian's holds
	// what was generated, some 3 MB a language; Fedora's has all, 200 MB.
	maxLocaleArchive = 8 << 20
)

// localeName is a name as setlocale(3) takes it; it goes into shell files.
var localeName = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9-]+)?(@[A-Za-z0-9]+)?$`)

// addLocale brings the locale of the machine, by its name in locale.conf or
// default/locale, else the one of the environment. Catalogues of messages stay
// behind. A note says so where the rescue system has C.UTF-8 instead.
func (c *Contents) addLocale(o *Options) error {
	for _, d := range []string{"C.utf8", "C.UTF-8"} {
		if p := path.Join(localeDir, d); isDir(c.Tree, p) {
			if err := c.Tree.AddHostTree(p, nil); err != nil {
				return err
			}
		}
	}
	s := &o.Identity.Settings
	lang := shellVariable(c.Tree, "/etc/locale.conf", "LANG")
	if lang == "" {
		lang = shellVariable(c.Tree, "/etc/default/locale", "LANG")
	}
	if lang == "" {
		lang = o.Lang
	}
	s.Locale = plainLocale
	name, codeset := normalLocale(lang)
	if lang == "" || name == "C" || name == "POSIX" || name == "C.utf8" {
		return nil
	}
	if !localeName.MatchString(lang) {
		c.Notes = append(c.Notes, fmt.Sprintf("the locale of the rescue system is %s: %q is no name of a locale", plainLocale, lang))
		return nil
	}
	if codeset != "utf8" {
		// Its consoles are UTF-8, and other character sets need converters.
		c.Notes = append(c.Notes, fmt.Sprintf("the locale of the rescue system is %s, not %s: that is not one of UTF-8", plainLocale, lang))
		return nil
	}
	p, why := c.findLocale(lang, name, o.without)
	if why != "" {
		c.Notes = append(c.Notes, fmt.Sprintf("the locale of the rescue system is %s, not %s: %s", plainLocale, lang, why))
		return nil
	}
	s.Locale, c.localeFrom = lang, p
	return c.Tree.AddHostTree(p, nil)
}

// findLocale is where the data of a locale lie: its own directory, else a
// small archive that has it; why says why neither does.
func (c *Contents) findLocale(lang, name string, without map[string]bool) (p, why string) {
	why = "it is not on this machine"
	for _, d := range []string{name, lang} {
		switch p := path.Join(localeDir, d); {
		case without[p]:
			why = "it does not work"
		case isDir(c.Tree, p):
			return p, ""
		}
	}
	fi, err := c.Tree.stat(localeArchive)
	switch {
	case without[localeArchive]:
		return "", "it does not work"
	case err != nil:
		return "", why
	case fi.Size() > maxLocaleArchive:
		return "", fmt.Sprintf("it would take %d MB of memory, with all others of %s", fi.Size()/1e6, localeArchive)
	}
	// The names are in it as strings, with a zero behind each.
	b, err := readHost(c.Tree, localeArchive)
	if err != nil || !bytes.Contains(b, []byte(name+"\x00")) {
		return "", why
	}
	return localeArchive, ""
}

// normalLocale is the name by which glibc keeps the data of a locale, with its
// character set in small letters and digits (locale(7), "de_DE.UTF-8" ->
// "de_DE.utf8"); and that character set.
func normalLocale(lang string) (name, codeset string) {
	base, modifier, _ := strings.Cut(lang, "@")
	language, codeset, found := strings.Cut(base, ".")
	codeset = strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(codeset))
	name = language
	if found {
		name += "." + codeset
	}
	if modifier != "" {
		name += "@" + modifier
	}
	return name, codeset
}

// tryLocale says why the locale does not work in a root directory, or nil: bash
// names what setlocale(3) does not take.
func (c *Contents) tryLocale(ctx context.Context, r system.Runner, root string) error {
	if c.localeFrom == "" {
		return nil
	}
	lang := c.Identity.Settings.Locale
	res, err := r.Run(ctx, system.Command{Name: "/bin/bash", Args: []string{"-c", ":"}, Env: []string{"LC_ALL=" + lang}, Chroot: root, Proc: true, Dir: "/"})
	if err := broken(res, err); err != nil {
		return err
	}
	if bytes.Contains(res.Stderr, []byte("cannot change locale")) {
		return fmt.Errorf("bash says: %s", bytes.TrimSpace(res.Stderr))
	}
	return nil
}
