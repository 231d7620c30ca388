// Package medium makes the bootable recovery medium: an ISO image with kernel,
// initramfs, boot loaders and boot screen, into which the backup is streamed,
// and reads a finished one back to check it. What is in the initramfs is
// rescue's business, what is in the backup archive's.
package medium

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium/fat"
	"github.com/mkcdrec/mkcdrec/internal/medium/iso9660"
	"github.com/mkcdrec/mkcdrec/internal/store"
)

// Names of our files on the medium. The backup is below BackupDir.
const (
	kernelName      = "boot/vmlinuz"
	initramfsName   = "boot/initrd.img"
	menuName        = "boot/grub/grub.cfg"
	biosImageName   = "boot/grub/eltorito.img"
	espName         = "boot/grub/efi.img"
	memtestBIOSName = "boot/memtest.bin"
	memtestUEFIName = "boot/memtest.efi"
	readmeName      = "README.txt"
	BackupDir       = "backup"
)

// Options say what goes onto a medium.
type Options struct {
	ID       string    // 8 hex digits; rescue.Identity.MediumID
	Host     string    // whose machine it is, for the boot screen
	Made     time.Time // also the time of every file: the same input makes the same bytes
	BackupID string    // "" on a medium without a backup

	Kernel    string // path of the kernel
	Initramfs string // path of the initramfs

	Loaders Loaders
	Menu    Menu
	Extra   []File
}

// File is a further file for the medium: Data, or the content of Path.
type File struct {
	Name string // relative to the medium's root, with slashes
	Path string
	Data []byte
}

// Summary says what a medium boots on.
type Summary struct {
	Label      string   `json:"label"`
	BIOS       bool     `json:"bios"`     // as CD
	BIOSUSB    bool     `json:"bios_usb"` // copied to a USB disk
	UEFI       bool     `json:"uefi"`     // as CD and as USB disk
	SecureBoot bool     `json:"secure_boot"`
	Memtest    bool     `json:"memtest"`
	Notes      []string `json:"notes,omitempty"` // why not, a sentence each
	Size       int64    `json:"size"`            // bytes; after Close
}

// Writer writes a medium. It is a store.Sink: the backup's files go below
// backup/ID/ while they are made, and BackupSink gives that directory alone.
type Writer struct {
	*iso9660.Writer
	f       *os.File
	path    string
	temp    string
	summary Summary
}

var idForm = regexp.MustCompile(`^[0-9a-fA-F]{8}$`)

// Label is the volume label of the medium with this ID.
func Label(id string) string { return "MKCDREC_" + strings.ToUpper(id) }

// NewWriter begins a medium at path and writes all but the backup. The image
// has a temporary name until Close: what was at path stays until then.
func NewWriter(ctx context.Context, path string, o Options) (*Writer, error) {
	if !idForm.MatchString(o.ID) {
		return nil, fmt.Errorf("cannot make a medium: ID %q does not have 8 hex digits", o.ID)
	}
	if err := o.Menu.check(); err != nil {
		return nil, fail.New(fail.Usage, "cannot make a medium: %w", err)
	}
	l := &o.Loaders
	if l.BIOS == nil && l.GRUB64 == nil {
		return nil, fail.New(fail.Unsupported, "cannot make a bootable medium: %s", strings.Join(l.Notes, "; "))
	}
	w := &Writer{path: path, temp: path + ".part"}
	w.summary = Summary{
		Label: Label(o.ID), BIOS: l.BIOS != nil, BIOSUSB: l.BIOS != nil && l.MBR != nil,
		UEFI: l.GRUB64 != nil, SecureBoot: l.Shim != nil && l.GRUB64 != nil,
		Memtest: l.MemtestBIOS != "" || l.MemtestUEFI != "", Notes: l.Notes,
	}
	var err error
	if w.f, err = os.OpenFile(w.temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, fmt.Errorf("cannot begin the medium: %w", err)
	}
	if err := w.begin(ctx, o); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

func (w *Writer) begin(ctx context.Context, o Options) error {
	var err error
	w.Writer, err = iso9660.NewWriter(w.f, iso9660.Options{
		Label: w.summary.Label, Time: o.Made, Application: "MKCDREC RECOVERY MEDIUM", MBR: o.Loaders.MBR, Name: w.path, Free: w.free,
	})
	if err != nil {
		return err
	}
	if err := w.bootImages(ctx, o); err != nil {
		return err
	}
	files := []File{
		{Name: menuName, Data: []byte(grubConfig(o, w.summary.Label, o.Loaders.MemtestBIOS != "", o.Loaders.MemtestUEFI != ""))},
		{Name: ".disk/info", Data: []byte(w.summary.Label + "\n")}, // GRUB made for CDs looks for it
		{Name: readmeName, Data: []byte(readme(o, w.summary))},
		{Name: kernelName, Path: o.Kernel},
		{Name: initramfsName, Path: o.Initramfs},
	}
	if p := o.Loaders.MemtestBIOS; p != "" {
		files = append(files, File{Name: memtestBIOSName, Path: p})
	}
	if p := o.Loaders.MemtestUEFI; p != "" {
		files = append(files, File{Name: memtestUEFIName, Path: p})
	}
	for _, f := range append(files, o.Extra...) {
		if err := w.add(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// bootImages writes the El Torito images and, for firmware that reads the ISO
// file system itself, the same loaders below /EFI.
func (w *Writer) bootImages(ctx context.Context, o Options) error {
	l := &o.Loaders
	if l.BIOS != nil {
		b := iso9660.BootImage{Platform: iso9660.PlatformBIOS, Name: biosImageName, Data: l.BIOS, PatchGRUB: true}
		if err := w.AddBootImage(ctx, b); err != nil {
			return err
		}
	}
	if l.GRUB64 == nil {
		return nil
	}
	loaders := espFiles(l, w.summary.Label)
	image, err := fat.Build(loaders, fat.Options{Label: "MKCDREC", Time: o.Made})
	if err != nil {
		return fmt.Errorf("cannot make the EFI system partition: %w", err)
	}
	const mib = 1 << 20 // partitions end at whole MiB, too
	if rest := len(image) % mib; rest > 0 {
		image = append(image, make([]byte, mib-rest)...)
	}
	return w.AddBootImage(ctx, iso9660.BootImage{Platform: iso9660.PlatformUEFI, Name: espName, Data: image})
}

// espFiles are the files of the EFI system partition. The firmware starts
// BOOTX64.EFI; shim goes on with grubx64.efi beside it.
func espFiles(l *Loaders, label string) []fat.File {
	cfg := []byte(stub(label))
	files := []fat.File{{Name: "EFI/BOOT/grub.cfg", Data: cfg}, {Name: "boot/grub/grub.cfg", Data: cfg}}
	if l.Config != "" && l.Config != "EFI/BOOT" {
		files = append(files, fat.File{Name: l.Config + "/grub.cfg", Data: cfg})
	}
	if l.Shim == nil {
		return append(files, fat.File{Name: "EFI/BOOT/BOOTX64.EFI", Data: l.GRUB64})
	}
	files = append(files, fat.File{Name: "EFI/BOOT/BOOTX64.EFI", Data: l.Shim}, fat.File{Name: "EFI/BOOT/grubx64.efi", Data: l.GRUB64})
	if l.Manager != nil {
		files = append(files, fat.File{Name: "EFI/BOOT/mmx64.efi", Data: l.Manager})
	}
	return files
}

// add writes one file onto the medium.
func (w *Writer) add(ctx context.Context, f File) error {
	if f.Path == "" {
		return w.WriteFile(ctx, f.Name, bytes.NewReader(f.Data))
	}
	src, err := os.Open(f.Path)
	if err != nil {
		return fmt.Errorf("cannot put %s onto the medium: %w", f.Name, err)
	}
	defer func() { _ = src.Close() }()
	return w.WriteFile(ctx, f.Name, src)
}

// free is the space left on the file system that the image is on.
func (w *Writer) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(w.f.Fd()), &st); err != nil {
		return -1, fmt.Errorf("cannot find out the free space for %s: %w", w.path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Close finishes the medium, puts it under its name and says what it boots on.
// An error leaves no medium behind.
func (w *Writer) Close(ctx context.Context) (Summary, error) {
	size, err := w.Writer.Close(ctx)
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		return w.summary, errors.Join(fmt.Errorf("cannot finish the medium %s: %w", w.path, err), w.Abort())
	}
	if err := w.f.Close(); err != nil {
		return w.summary, errors.Join(fmt.Errorf("cannot finish the medium: %w", err), os.Remove(w.temp))
	}
	if err := os.Rename(w.temp, w.path); err != nil {
		return w.summary, errors.Join(fmt.Errorf("cannot finish the medium: %w", err), os.Remove(w.temp))
	}
	w.summary.Size = size
	return w.summary, nil
}

// Abort gives the medium up and removes what there is of it.
func (w *Writer) Abort() error {
	return errors.Join(w.f.Close(), os.Remove(w.temp))
}

// BackupSink is the directory /backup of the medium as a sink: a backup writes
// ID/manifest.json and so on into it.
func (w *Writer) BackupSink() store.Sink { return backupSink{w} }

type backupSink struct{ w *Writer }

func (s backupSink) Create(ctx context.Context, name string) (store.WriteFile, error) {
	return s.w.Create(ctx, BackupDir+"/"+name)
}

func (s backupSink) Free(ctx context.Context) (int64, error) { return s.w.Free(ctx) }
func (s backupSink) String() string                          { return s.w.path }
