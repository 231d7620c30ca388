package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// TCG is emulation: it works everywhere, some 20 times slower than KVM.
const TCG = "tcg,thread=multi"

// KVM uses the processor's own virtualization.
const KVM = "kvm"

var (
	accelOnce sync.Once
	accel     string
	accelWhy  string
)

// DetectAccel is the accelerator that works here, and why it was chosen. That
// /dev/kvm opens proves little (nested virtualization may hang a stock
// kernel), so KVM is taken only if an installed kernel really starts in it
// within eight seconds. The answer is found once a process.
func DetectAccel(ctx context.Context) (value, why string) {
	accelOnce.Do(func() {
		if err := tryKVM(ctx, newestKernel()); err != nil {
			accel, accelWhy = TCG, "emulation, because KVM does not work here: "+err.Error()
			return
		}
		accel, accelWhy = KVM, "KVM, because a kernel started in it"
	})
	return accel, accelWhy
}

// tryKVM starts a kernel without an initramfs: its complaint that it has no
// root is the proof that it came all the way.
func tryKVM(ctx context.Context, kernel string) error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.Close()
	if kernel == "" {
		return fmt.Errorf("no kernel in /boot to try it with")
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	vm, err := Start(ctx, Config{Name: "kvm-trial", Memory: 256, CPUs: 1, Accel: KVM, Kernel: kernel, Append: "console=ttyS0 panic=0"})
	if err != nil {
		return err
	}
	defer vm.Kill()
	if _, err := vm.WaitFor(ctx, `Unable to mount root fs`, 8*time.Second); err != nil {
		return fmt.Errorf("a kernel did not start in it within 8 s")
	}
	return nil
}

// newestKernel is the last kernel of /boot by name, or "".
func newestKernel() string {
	found, _ := filepath.Glob("/boot/vmlinuz-*")
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}
