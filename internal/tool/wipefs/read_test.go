package wipefs

import (
	"os"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	b, err := os.ReadFile("testdata/gpt.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(b); err != nil || !reflect.DeepEqual(got, []string{"gpt", "PMBR"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := Parse([]byte("\n")); err != nil || got != nil {
		t.Errorf("an empty disk: %v, %v", got, err)
	}
	if _, err := Parse([]byte("{")); err == nil {
		t.Error("half a document was understood")
	}
}
