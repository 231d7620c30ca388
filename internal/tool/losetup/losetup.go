// Package losetup calls losetup(8): files as block devices.
package losetup

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Part is a stretch of a file, in bytes. The zero value is all of it.
type Part struct {
	Offset, Size machine.Bytes
}

// Attach makes a file, or a part of one, a block device and returns its kernel
// name, such as loop3. scan asks the kernel to show partitions on it.
func Attach(ctx context.Context, r system.Runner, file string, part Part, scan bool) (name string, err error) {
	args := []string{"--find", "--show"}
	if scan {
		args = append(args, "--partscan")
	}
	if part != (Part{}) {
		args = append(args, "--offset", strconv.FormatInt(int64(part.Offset), 10), "--sizelimit", strconv.FormatInt(int64(part.Size), 10))
	}
	res, err := r.Run(ctx, system.Command{Name: "losetup", Args: append(args, file)})
	if err != nil {
		return "", fmt.Errorf("cannot make %s a block device: %w", file, err)
	}
	dev := strings.TrimSpace(string(res.Stdout))
	name = path.Base(dev)
	if n, ok := strings.CutPrefix(name, "loop"); !ok || n == "" || strings.Trim(n, "0123456789") != "" || dev != "/dev/"+name {
		return "", fmt.Errorf("cannot make %s a block device: losetup says %q", file, dev)
	}
	return name, nil
}

// Detach ends that a device (kernel name) shows a file. One that is still in
// use goes when its last user does; losetup does not say so.
func Detach(ctx context.Context, r system.Runner, name string) error {
	if _, err := r.Run(ctx, system.Command{Name: "losetup", Args: []string{"--detach", "/dev/" + name}}); err != nil {
		return fmt.Errorf("cannot detach /dev/%s: %w", name, err)
	}
	return nil
}
