package rescue

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// A key is refused wherever it lies and whatever its form, until its path, or
// a link to it, is named.
func TestScreenRefusesPrivateKeys(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	ageKey := "# created: today\nAGE-SECRET-KEY-1" + strings.Repeat("Q", 58) + "\n"
	for _, c := range []struct{ path, content string }{
		{"/root/key.pem", pemKey},
		{"/root/notes", "text before\n" + pemKey},
		{"/root/age.txt", ageKey},
		{"/home/x/lib/modules/id_ed25519", pemKey},
		{"/home/x/lib/firmware/id_ed25519", pemKey},
		{"/lib/firmware/vendor/key", pemKey},
		{"/etc/ssh/ssh_host_rsa_key", "in a form that nobody knows"},
	} {
		root := t.TempDir()
		write(t, root, c.path, c.content)
		if err := os.Symlink(c.path, filepath.Join(root, "link")); err != nil {
			t.Fatal(err)
		}
		tree := NewTree(root)
		if _, err := tree.AddHost(c.path); err != nil {
			t.Fatal(err)
		}
		err := screen(t.Context(), tree, nil)
		if fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v", c.path, err)
		}
		for _, name := range []string{c.path, "/link"} {
			if err := screen(t.Context(), tree, []string{name}); err != nil {
				t.Errorf("%s, allowed as %s: %v", c.path, name, err)
			}
		}
		if err := screen(t.Context(), tree, []string{"/another"}); err == nil {
			t.Errorf("%s: allowed by the name of another file", c.path)
		}
	}
}

func TestScreenAcceptsWhatIsPublic(t *testing.T) {
	root := t.TempDir()
	tree := NewTree(root)
	for name, content := range map[string]string{
		"/etc/ssl/cert.pem":             "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
		"/usr/share/doc/how":            "a file that begins with -----BEGIN PRIVATE KEY----- is a key",
		"/etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa AAAA",
	} {
		write(t, root, name, content)
		if _, err := tree.AddHost(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := screen(t.Context(), tree, nil); err != nil {
		t.Error(err)
	}
}

// write puts a file below a fake root.
func write(t *testing.T, root, name, content string) {
	t.Helper()
	p := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
