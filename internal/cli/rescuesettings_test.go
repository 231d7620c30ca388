package cli

import (
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/config"
)

// What the settings file says of the consoles reaches the rescue system.
func TestConsoleLoginReachesTheRescueSystem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"": false, "[rescue]\nconsole_login = true\n": true} {
		s, err := config.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		a := &app{settings: s}
		if got, err := a.rescueSettings(); err != nil || got.ConsoleLogin != want {
			t.Errorf("%q: console login %v, %v", text, got.ConsoleLogin, err)
		}
	}
}
