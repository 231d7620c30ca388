// Package wipefs knows wipefs(8): listing the signatures on a device.
package wipefs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// List is the types of all signatures on a device in wipefs' order, each once.
func List(ctx context.Context, r system.Runner, path string) ([]string, error) {
	res, err := r.Run(ctx, system.Command{Name: "wipefs", Args: []string{"--json", "--no-act", path}})
	if err != nil {
		return nil, fmt.Errorf("cannot list the signatures on %s: %w", path, err)
	}
	return Parse(res.Stdout)
}

// Parse reads the output of wipefs --json; no output is no signature.
func Parse(b []byte) ([]string, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	var out struct {
		Signatures []struct{ Type string }
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("cannot read the output of wipefs: %w", err)
	}
	var list []string
	seen := map[string]bool{}
	for _, s := range out.Signatures {
		if !seen[s.Type] {
			seen[s.Type] = true
			list = append(list, s.Type)
		}
	}
	return list, nil
}
