package inspect

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// TestThisMachine records whatever machine the test runs on: it must not fail
// anywhere, and its JSON must hold all that was recorded.
func TestThisMachine(t *testing.T) {
	if _, err := os.Stat("/sys/block"); err != nil {
		t.Skip("this machine shows no /sys/block: ", err)
	}
	m, err := Machine(context.Background(), &system.Host{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
	if m.Version != machine.Version || m.Kernel == "" || m.Memory < 1<<20 || m.Hostname == "" {
		t.Errorf("kernel %q, %d bytes of memory, host name %q: something is missing", m.Kernel, m.Memory, m.Hostname)
	}
	var back machine.Machine
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.MarshalIndent(back, "", "  "); string(again) != string(b) {
		t.Error("the JSON form loses something")
	}
}
