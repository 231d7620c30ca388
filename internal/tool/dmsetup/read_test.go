package dmsetup

import (
	"slices"
	"testing"
)

func TestParseTable(t *testing.T) {
	const table = "0 409600 linear 254:1 2048\n409600 2097152 cache 253:1 253:2 254:3 128 1 writethrough smq 0\n2506752 8 linear 254:1 0\n\nshort line\n"
	if got := ParseTable([]byte(table)); !slices.Equal(got, []string{"linear", "cache"}) {
		t.Errorf("got %q", got)
	}
	if got := ParseTable(nil); got != nil {
		t.Errorf("got %q of nothing", got)
	}
}
