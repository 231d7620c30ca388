package medium

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// rootWith is a root directory with files that hold their own name.
func rootWith(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, n := range names {
		p := filepath.Join(root, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFindLoaders(t *testing.T) {
	for _, c := range []struct {
		name               string
		files              []string
		shim, grub, config string
		notes              int
	}{
		{"nothing", nil, "", "", "", 3},
		{
			"debian", []string{"usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"},
			"usr/lib/shim/shimx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "EFI/debian", 1,
		},
		{"shim alone", []string{"usr/lib/shim/shimx64.efi.signed"}, "", "", "", 3},
		{
			"fedora", []string{"boot/efi/EFI/fedora/shimx64.efi", "boot/efi/EFI/fedora/grubx64.efi"},
			"boot/efi/EFI/fedora/shimx64.efi", "boot/efi/EFI/fedora/grubx64.efi", "EFI/fedora", 1,
		},
		{
			"rocky", []string{"boot/efi/EFI/rocky/shimx64.efi", "boot/efi/EFI/rocky/grubx64.efi"},
			"boot/efi/EFI/rocky/shimx64.efi", "boot/efi/EFI/rocky/grubx64.efi", "EFI/rocky", 1,
		},
		{
			"suse", []string{"usr/share/efi/x86_64/shim.efi", "usr/share/efi/x86_64/grub.efi"},
			"usr/share/efi/x86_64/shim.efi", "usr/share/efi/x86_64/grub.efi", "EFI/BOOT", 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := FindLoaders(context.Background(), &system.Recorder{}, rootWith(t, c.files...), "MKCDREC_X")
			if err != nil {
				t.Fatal(err)
			}
			if string(l.Shim) != c.shim || string(l.GRUB64) != c.grub || l.Config != c.config || len(l.Notes) != c.notes {
				t.Errorf("shim %q, GRUB %q, configuration in %q, notes %q", l.Shim, l.GRUB64, l.Config, l.Notes)
			}
		})
	}
}

// TestUnsigned is a machine with GRUB's files and without signed loaders.
func TestUnsigned(t *testing.T) {
	root := rootWith(t, "usr/lib/grub/x86_64-efi/normal.mod", "usr/lib/grub/i386-pc/normal.mod", "boot/memtest86+x64.efi")
	r := &system.Recorder{Missing: map[string]bool{"grub-mkimage": true, "grub2-mkimage": true}}
	l, err := FindLoaders(context.Background(), r, root, "MKCDREC_X")
	if err != nil || l.BIOS != nil || l.GRUB64 != nil {
		t.Fatalf("%+v, %v", l, err)
	}
	all := strings.Join(l.Notes, "\n")
	for _, want := range []string{"not boot on BIOS", "not boot on UEFI", "Secure Boot", "program not found"} {
		if !strings.Contains(all, want) {
			t.Errorf("notes lack %q:\n%s", want, all)
		}
	}
	if l.MemtestUEFI == "" || l.MemtestBIOS != "" {
		t.Errorf("memory tests %q, %q", l.MemtestBIOS, l.MemtestUEFI)
	}
}
