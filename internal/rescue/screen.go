package rescue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// Private keys by their forms: PEM (also with headers, RFC 1421), OpenSSH, PGP,
// PuTTY and age. A program that only knows the header has no key behind it.
var privateKeys = []struct {
	mark []byte // quick search
	full *regexp.Regexp
	what string
}{
	{[]byte("PRIVATE KEY"), regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[ \t]*\r?\n(?:[A-Za-z0-9-]+:[^\n]*\n|\s*\n)*[ \t]*[A-Za-z0-9+/=]{16,}`), "private key"},
	{[]byte("AGE-SECRET-KEY-"), regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]{50,}`), "age key"},
	{[]byte("PuTTY-User-Key-File-"), regexp.MustCompile(`PuTTY-User-Key-File-\d+: [^\n]*\n(?:[^\n]*\n){1,20}Private-Lines: \d`), "PuTTY key"},
}

// findPrivateKey says what kind of private key some content holds, or "".
func findPrivateKey(b []byte) string {
	for _, k := range privateKeys {
		if bytes.Contains(b, k.mark) && k.full.Match(b) {
			return k.what
		}
	}
	return ""
}

// screen refuses content with a private key in it, unless its path is named,
// by itself or by a symbolic link. It reads everything but our own program:
// no path is trusted, anybody may keep a key in a directory of any name.
func screen(ctx context.Context, t *Tree, named []string) error {
	allowed := slices.Clone(named)
	for _, n := range named {
		if real, _, err := t.Resolve(n); err == nil {
			allowed = append(allowed, real)
		}
	}
	for _, e := range t.Entries() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if (e.Source == "" && len(e.Data) == 0) || e.Path == BinaryPath || slices.Contains(allowed, e.Path) {
			continue
		}
		b := e.Data
		if e.Source != "" {
			var err error
			if b, err = os.ReadFile(e.Source); err != nil {
				return fmt.Errorf("cannot look for private keys in %s: %w", e.Path, err)
			}
		}
		if bytes.HasPrefix(b, []byte("\x7fELF")) {
			continue // programs and libraries: cryptographic ones carry well-known keys for their self-tests
		}
		what := findPrivateKey(b)
		if ok, _ := path.Match("ssh_host_*_key", path.Base(e.Path)); ok && what == "" {
			what = "ssh host key"
		}
		if what != "" {
			return fail.Hint(fail.New(fail.Refused, "refused to put %s into the rescue system: it holds a %s, and who has the medium has the key", e.Path, what),
				"take it out of the list of files, or name it in the list private_keys of the settings")
		}
	}
	return nil
}
