package fail

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The table for people must be the table in the code.
func TestDocumentedExitCodes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	for k := Failed; k <= Interrupted; k++ {
		if row := fmt.Sprintf("| %d | %s |", int(k), k.Name()); !strings.Contains(string(doc), row) {
			t.Errorf("docs/exit-codes.md has no row %q", row)
		}
	}
}

func TestKindAndHintSurviveWrapping(t *testing.T) {
	err := fmt.Errorf("restore: %w", Hint(New(Damaged, "volume 2 is missing"), "look for disc 2"))
	if KindOf(err) != Damaged || HintOf(err) != "look for disc 2" || ExitCode(err) != 5 {
		t.Errorf("kind %v, hint %q", KindOf(err), HintOf(err))
	}
	if HintOf(nil) != "" || Hint(nil, "x") != nil {
		t.Error("nil grew a hint")
	}
}
