package grub

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// fake is a grub-mkimage that writes what it was asked for into its output.
type fake struct {
	system.Recorder
	config string
}

func (f *fake) Run(ctx context.Context, c system.Command) (system.Result, error) {
	for i, a := range c.Args {
		if a == "-o" {
			if err := os.WriteFile(c.Args[i+1], []byte("image"), 0o600); err != nil {
				return system.Result{}, err
			}
		}
		if a == "-c" {
			b, err := os.ReadFile(c.Args[i+1])
			if err != nil {
				return system.Result{}, err
			}
			f.config = string(b)
		}
	}
	return f.Recorder.Run(ctx, c)
}

func TestMakeImage(t *testing.T) {
	f := &fake{Recorder: system.Recorder{Missing: map[string]bool{"grub-mkimage": true}}}
	b, err := MakeImage(context.Background(), f, Image{
		Format: ElTorito, Dir: "/usr/lib/grub/i386-pc", Prefix: "/boot/grub", Config: "echo x\n", Modules: []string{"biosdisk", "iso9660"},
	})
	if err != nil || string(b) != "image" {
		t.Fatalf("%q, %v", b, err)
	}
	got := f.Commands()[0]
	for _, want := range []string{"grub2-mkimage -O i386-pc-eltorito -d /usr/lib/grub/i386-pc -p /boot/grub -o ", " biosdisk iso9660"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if f.config != "echo x\n" {
		t.Errorf("early configuration %q", f.config)
	}
}

func TestNoProgram(t *testing.T) {
	f := &fake{Recorder: system.Recorder{Missing: map[string]bool{"grub-mkimage": true, "grub2-mkimage": true}}}
	if _, err := MakeImage(context.Background(), f, Image{Format: EFI64}); !errors.Is(err, system.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestModuleDir(t *testing.T) {
	root := t.TempDir()
	if d := ModuleDir(root, ElTorito); d != "" {
		t.Errorf("found %s in an empty root", d)
	}
	want := filepath.Join(root, "usr/share/grub2/i386-pc") // SUSE
	if err := os.MkdirAll(want, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(want, "normal.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := ModuleDir(root, ElTorito); d != want {
		t.Errorf("found %q instead of %q", d, want)
	}
}
