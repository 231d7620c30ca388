package restore

import (
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

func TestMain(m *testing.M) { testtree.OwnMounts(m) }
