package medium

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/medium/fat"
	"github.com/mkcdrec/mkcdrec/internal/rehearse/qemu"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/tool/grub"
)

// diskSays is what the hard disk of TestHardDisk writes to the serial port.
const diskSays = "HELLO FROM THE HARD DISK"

// bootSector is a boot sector that writes diskSays to the first serial port,
// if the BIOS calls its disk the first one, and stops.
func bootSector() []byte {
	b := make([]byte, 1<<20)
	code := []byte{
		0x80, 0xFA, 0x80, // cmp dl, 0x80
		0x75, 0x15, // jne stop
		0x31, 0xC0, // xor ax, ax
		0x8E, 0xD8, // mov ds, ax
		0xBE, 0x40, 0x7C, // mov si, 0x7c40
		0xAC,       // next: lodsb
		0x84, 0xC0, // test al, al
		0x74, 0x09, // jz stop
		0xB4, 0x01, // mov ah, 1
		0x31, 0xD2, // xor dx, dx
		0xCD, 0x14, // int 0x14: send
		0xEB, 0xF3, // jmp next
		0x90,
		0xF4,       // stop: hlt
		0xEB, 0xFD, // jmp stop
	}
	copy(b, code)
	copy(b[0x40:], diskSays+"\r\n\x00")
	b[510], b[511] = 0x55, 0xAA
	return b
}

// espDisk is a disk with an installed system's boot loader for UEFI.
func espDisk(t *testing.T) []byte {
	t.Helper()
	loader, err := grub.MakeImage(context.Background(), &system.Host{}, grub.Image{
		Format: grub.EFI64, Dir: grub.ModuleDir("/", grub.EFI64), Prefix: "/none",
		Config: "echo '" + diskSays + "'\nsleep 60\n", Modules: []string{"echo", "sleep", "fat"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := fat.Build([]fat.File{{Name: "EFI/debian/grubx64.efi", Data: loader}}, fat.Options{Label: "ESP", Time: made})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHardDisk picks entry 3 of the boot screen.
func TestHardDisk(t *testing.T) {
	slow(t)
	if _, err := exec.LookPath(qemu.Program); err != nil {
		t.Skip("needs ", qemu.Program)
	}
	path, _ := build(t, options(hostLoaders(t)))
	for _, c := range []struct {
		name     string
		firmware qemu.Firmware
		usb      bool
		disk     func(*testing.T) []byte
	}{
		{"bios-cd", qemu.BIOS, false, func(*testing.T) []byte { return bootSector() }},
		{"bios-usb", qemu.BIOS, true, func(*testing.T) []byte { return bootSector() }},
		{"uefi-cd", qemu.UEFI, false, espDisk},
		{"uefi-usb", qemu.UEFI, true, espDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
			defer cancel()
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, c.disk(t), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := qemu.Config{
				Name: c.name, Firmware: c.firmware, Accel: qemu.TCG, Memory: 512, BootOrder: []string{"cd0", "disk0"},
				Disks: []qemu.Disk{{Path: disk, Format: "raw", Bus: qemu.SATA, Snapshot: true}},
			}
			if c.usb {
				cfg.Disks = append(cfg.Disks, qemu.Disk{Path: path, Format: "raw", Bus: qemu.USB, Snapshot: true})
				cfg.BootOrder = []string{"disk1", "disk0"}
			} else {
				cfg.CDROMs = []string{path}
			}
			vm, err := qemu.Start(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Kill()
			if _, err := vm.WaitFor(ctx, `3  Boot the hard disk`, 2*time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := vm.Send("3"); err != nil {
				t.Fatal(err)
			}
			if _, err := vm.WaitFor(ctx, diskSays, 90*time.Second); err != nil {
				t.Fatal(err)
			}
		})
	}
}
