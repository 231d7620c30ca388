package machine

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/fail"
)

// MaxLayout is the largest layout.json that is read, in bytes. A machine with
// thousands of snapshots stays well below.
const MaxLayout = 32 << 20

// Layout writes the JSON form of a machine (layout.json). The same machine
// gives the same bytes.
func (m *Machine) Layout() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("cannot write the layout: %w", err)
	}
	return out.Bytes(), nil
}

// ReadLayout reads what Layout wrote and validates it. The error is
// fail.Damaged for bytes that are no layout and fail.Unsupported for one of a
// newer program.
func ReadLayout(b []byte) (*Machine, error) {
	if len(b) > MaxLayout {
		return nil, fail.New(fail.Damaged, "cannot read the layout: %d bytes are more than the %d allowed", len(b), MaxLayout)
	}
	var head struct{ Version int }
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fail.New(fail.Damaged, "cannot read the layout: %w", err)
	}
	if head.Version > Version {
		return nil, fail.Hint(fail.New(fail.Unsupported, "cannot read the layout: its version is %d, this program knows %d", head.Version, Version),
			"use the program from the medium that the backup was made with, or a newer one")
	}
	var m Machine
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fail.New(fail.Damaged, "cannot read the layout: %w", err)
	}
	if err := m.Validate(); err != nil {
		return nil, fail.New(fail.Damaged, "cannot use the layout: %w", err)
	}
	return &m, nil
}
