package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Screendump writes the screen as a PNG picture.
func (vm *VM) Screendump(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	_, err = vm.QMP(ctx, "screendump", map[string]any{"filename": path, "format": "png"})
	return err
}

// SendKeys presses keys one after another on the machine's keyboard. A key is
// a QKeyCode ("ret", "down", "a"); keys held together are joined by "-"
// ("ctrl-alt-delete").
func (vm *VM) SendKeys(ctx context.Context, keys ...string) error {
	for _, chord := range keys {
		var codes []map[string]string
		for key := range strings.SplitSeq(chord, "-") {
			codes = append(codes, map[string]string{"type": "qcode", "data": key})
		}
		if _, err := vm.QMP(ctx, "send-key", map[string]any{"keys": codes}); err != nil {
			return err
		}
	}
	return nil
}

// ChangeMedium puts another ISO into the CD drive with this index, as a hand
// would; "" takes the disc out.
func (vm *VM) ChangeMedium(ctx context.Context, drive int, iso string) error {
	id := fmt.Sprintf("dev-cd%d", drive)
	if iso == "" {
		_, err := vm.QMP(ctx, "eject", map[string]any{"id": id, "force": true})
		return err
	}
	iso, err := filepath.Abs(iso)
	if err != nil {
		return err
	}
	_, err = vm.QMP(ctx, "blockdev-change-medium", map[string]any{"id": id, "filename": iso, "format": "raw", "force": true})
	return err
}

// PowerDown presses the power button; a guest that listens shuts down. Wait
// waits for the end.
func (vm *VM) PowerDown(ctx context.Context) error {
	_, err := vm.QMP(ctx, "system_powerdown", nil)
	return err
}

// Reset presses the reset button.
func (vm *VM) Reset(ctx context.Context) error {
	_, err := vm.QMP(ctx, "system_reset", nil)
	return err
}

// SaveVM keeps the running machine's state (memory, devices, disks) under a
// name in its first qcow2 disk. A later Start with Config.LoadVM continues
// from there. Every writable disk has to be qcow2, and there can be no Share.
func (vm *VM) SaveVM(ctx context.Context, name string) error {
	return vm.monitor(ctx, "savevm "+name)
}

// LoadVM puts the machine back to the state that SaveVM kept.
func (vm *VM) LoadVM(ctx context.Context, name string) error {
	return vm.monitor(ctx, "loadvm "+name)
}

// monitor runs a command that only the human monitor has. It says nothing
// when it has worked.
func (vm *VM) monitor(ctx context.Context, line string) error {
	answer, err := vm.QMP(ctx, "human-monitor-command", map[string]any{"command-line": line})
	if err != nil {
		return err
	}
	var said string
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("%s: cannot understand the answer to %q: %w", vm.Config.Name, line, err)
	}
	if said = strings.TrimSpace(said); said != "" {
		return fmt.Errorf("%s: %s: %w", vm.Config.Name, line, errors.New(said))
	}
	return nil
}
