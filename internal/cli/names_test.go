package cli

import (
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/rescue"
	"github.com/mkcdrec/mkcdrec/internal/rescueinit"
)

// Every name that the medium has for a verb leads to one, those of the original
// among them.
func TestNamesOnTheMediumAreVerbs(t *testing.T) {
	root := (&app{}).rootCommand()
	verbs := map[string]string{"start-restore.sh": "restore", "clone-disk.sh": "clone", "clone-dsk.sh": "clone", "restore-fs.sh": "restore-fs"}
	for _, name := range rescue.Names {
		if rescueinit.EndName(name) {
			continue // poweroff and the like are no verbs
		}
		verb, _ := verbOfName(name)
		if want := verbs[name]; verb != want {
			t.Errorf("%s is %q, want %q", name, verb, want)
		}
		delete(verbs, name)
		if c, _, err := root.Find([]string{verb}); err != nil || c.Name() != verb {
			t.Errorf("%s: there is no verb %q: %v", name, verb, err)
		}
	}
	for name := range verbs {
		t.Errorf("%s is not on the medium", name)
	}
}
