package efivars

import (
	"encoding/hex"
	"reflect"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

func ucs2Bytes(s string) []byte {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func node(kind, sub byte, body []byte) []byte {
	n := len(body) + 4
	return append([]byte{kind, sub, byte(n), byte(n >> 8)}, body...)
}

// debian is a load option as efibootmgr writes it: HD(1,GPT,...)/File(...).
func debian(t testing.TB) []byte {
	guid, err := hex.DecodeString("66a04857b08a4e5c8f75d381db374158")
	if err != nil {
		t.Fatal(err)
	}
	hd := append([]byte{1, 0, 0, 0}, make([]byte, 16)...)
	hd = append(append(hd, guid...), 2, 2)
	path := append(node(4, 1, hd), node(4, 4, ucs2Bytes(`\EFI\debian\shimx64.efi`))...)
	path = append(path, node(0x7F, 0xFF, nil)...)
	out := []byte{1, 0, 0, 0, byte(len(path)), byte(len(path) >> 8)}
	return append(append(out, ucs2Bytes("debian")...), path...)
}

func TestRead(t *testing.T) {
	file := func(b ...byte) *fstest.MapFile { return &fstest.MapFile{Data: append([]byte{7, 0, 0, 0}, b...)} }
	cd := append([]byte{0, 0, 0, 0, 0, 0}, ucs2Bytes("UEFI CD")...)
	entries, secure, err := Read(fstest.MapFS{
		"BootOrder-" + Global:                           file(3, 0, 1, 0),
		"Boot0001-" + Global:                            file(cd...),
		"Boot0003-" + Global:                            file(debian(t)...),
		"Boot0007-" + Global:                            file(1, 2),
		"SecureBoot-" + Global:                          file(1),
		"Boot0004-aaaaaaaa-0000-0000-0000-000000000000": file(cd...),
		"BootCurrent-" + Global:                         file(3, 0),
	})
	want := []machine.EFIEntry{
		{Number: "0003", Label: "debian", Loader: `\EFI\debian\shimx64.efi`, PartUUID: "5748a066-8ab0-5c4e-8f75-d381db374158", Active: true},
		{Number: "0001", Label: "UEFI CD"},
	}
	if !reflect.DeepEqual(entries, want) || !secure {
		t.Errorf("got %+v, %v", entries, secure)
	}
	if err == nil {
		t.Error("the entry that is cut short is not named")
	}
}

func FuzzParseLoadOption(f *testing.F) {
	f.Add(debian(f))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = ParseLoadOption(b) })
}
