// Package lsblk reads what lsblk(8) knows of block devices from udev: serial
// numbers, WWNs, transports. Which devices there are, sysfs says (inspect).
package lsblk

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// Device is one line of lsblk, of any kind of device.
type Device struct {
	KName     string `json:"kname"`
	Path      string `json:"path"`
	Serial    string `json:"serial"`
	WWN       string `json:"wwn"`
	Model     string `json:"model"`
	Vendor    string `json:"vendor"`
	Transport string `json:"tran"`
}

// List asks for all devices without their holders.
func List(ctx context.Context, r system.Runner) ([]Device, error) {
	res, err := r.Run(ctx, system.Command{Name: "lsblk", Args: []string{
		"--json", "--bytes", "--nodeps", "--output", "KNAME,PATH,SERIAL,WWN,MODEL,VENDOR,TRAN",
	}})
	if err != nil {
		return nil, fmt.Errorf("cannot list block devices: %w", err)
	}
	return Parse(res.Stdout)
}

// Parse reads lsblk's JSON; null stands for an empty string.
func Parse(b []byte) ([]Device, error) {
	var out struct {
		Devices []Device `json:"blockdevices"`
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("cannot read the output of lsblk: %w", err)
	}
	for i := range out.Devices {
		d := &out.Devices[i]
		for _, s := range []*string{&d.Serial, &d.WWN, &d.Model, &d.Vendor, &d.Transport} {
			*s = strings.TrimSpace(*s)
		}
	}
	return out.Devices, nil
}
