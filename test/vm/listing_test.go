package vm

import (
	"strings"
	"testing"
)

func TestListingReadsTheTools(t *testing.T) {
	t.Parallel()
	l := Listing{}
	sparse, err := l.addFind([]byte("/a\nb\tc\tf 644 0:0\t5\t8\t1.5000000000\t2 8:11\t\x00" +
		"/h\tf 644 0:0\t5\t8\t1.5000000000\t2 8:11\t\x00" +
		"/holes\tf 600 1:2\t1000000\t8\t2.0\t1 8:12\t\x00" +
		"/l\tl 777 0:0\t3\t0\t3.0\t1 8:13\ta\tb\x00" +
		"/etc\td 755 0:0\t4096\t8\t4.0\t3 8:14\t\x00" +
		"/run/s\ts 755 0:0\t0\t0\t4.0\t1 8:15\t\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if string(sparse) != "/holes\x00" {
		t.Errorf("sparse files %q", sparse)
	}
	l.addSums("sha256", []byte("aa  /a\nb\tc\x00bb  /holes\x00"))
	l.addBlocks("xattr", "# file: ", []byte("# file: /h\nuser.b=0x01\nuser.a=0x02\n\n# file: /none\n\n"))
	l.addFlags([]byte("----i---------e------- /h\n--------------e------- /holes\n-------------Ie------- /etc\n"))
	if err := l.addExtents([]byte("Filesystem type is: ef53\nFile size of /holes is 1000000 (1000000 blocks of 1 byte)\n" +
		" ext:     logical_offset:        physical_offset: length:   expected: flags:\n" +
		"   0:        0..    4095:  1000..   5095:   4096:             \n" +
		"   1:     4096..    8191:  9000..  13095:   4096:  5096: unwritten\n" +
		"   2:     8192..   12287: 19000..  23095:   4096:  5096: \n" +
		"   3:    12288..   16383: 29000..  33095:   4096:  5096: last,eof\n/holes: 3 extents found\n")); err != nil {
		t.Fatal(err)
	}
	if err := l.complete(); err == nil || !strings.Contains(err.Error(), "/h") {
		t.Errorf("a file without a hash was not noticed: %v", err)
	}
	l["sha256 /h"] = "aa"
	if err := l.complete(); err == nil || !strings.Contains(err.Error(), "device") {
		t.Errorf("a tool that lists nothing was not noticed: %v", err)
	}
	l["device /d"], l["acl /h"] = "1:3", "user::rw-"
	if err := l.complete(); err != nil {
		t.Error(err)
	}
	delete(l, "device /d")
	delete(l, "acl /h")
	want := Listing{
		"stat /a\nb\tc": "f 644 0:0 size 5", "mtime /a\nb\tc": "1.5000000000", "hardlinks /a\nb\tc": `["/a\nb\tc" "/h"]`,
		"stat /h": "f 644 0:0 size 5", "mtime /h": "1.5000000000", "hardlinks /h": `["/a\nb\tc" "/h"]`,
		"stat /holes": "f 600 1:2 size 1000000", "mtime /holes": "2.0",
		"stat /l": `l 777 0:0 size 3 -> "a\tb"`, "mtime /l": "3.0",
		"stat /etc":       "d 755 0:0",
		"sha256 /a\nb\tc": "aa", "sha256 /holes": "bb", "sha256 /h": "aa",
		"xattr /h":    "user.a=0x02 user.b=0x01",
		"flags /h":    "i",
		"data /holes": "0-4095 8192-16383 ",
	}
	if d := want.diff(l, 100); d != "" {
		t.Error(d)
	}
}

func TestListingDiffNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	a := Listing{"stat /a": "f 644", "stat /b": "f 600", "flags /b": "i"}
	b := Listing{"stat /a": "f 644", "stat /b": "f 640", "stat /c": "d 755"}
	d := a.diff(b, 2)
	for _, want := range []string{"3 differences in 3 facts", `"/b": flags was i, is (nothing)`, `"/b": stat was f 600, is f 640`, "and 1 more"} {
		if !strings.Contains(d, want) {
			t.Errorf("the difference lacks %q:\n%s", want, d)
		}
	}
	if d := a.diff(a, 2); d != "" {
		t.Errorf("a listing differs from itself: %s", d)
	}
}
