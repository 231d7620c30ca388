package cli

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/ui"
)

func TestAwaitMedium(t *testing.T) {
	var out bytes.Buffer
	a := &app{ui: &ui.Printer{Out: &out, Err: &out, Now: time.Now}}
	if !a.awaitMedium(t.Context(), func() bool { return true }, time.Hour) || out.Len() > 0 {
		t.Errorf("what is there is waited for: %s", out.String())
	}
	asked := 0
	if !a.awaitMedium(t.Context(), func() bool { asked++; return asked > 2 }, time.Hour) || out.Len() == 0 {
		t.Error("it appeared, and was not seen, or the waiting was not said")
	}
	never := func() bool { return false }
	if a.awaitMedium(t.Context(), never, time.Millisecond) {
		t.Error("what never came was seen")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if a.awaitMedium(ended, never, time.Hour) {
		t.Error("what never came was seen")
	}
}
