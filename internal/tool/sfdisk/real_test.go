package sfdisk

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// diskSectors is the size of the images, in sectors of 512 bytes.
const diskSectors = 200_000

func blankImage(t interface{ Fatal(...any) }, path string, sectors int64) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, sectors*512); err != nil {
		t.Fatal(err)
	}
}

// said is what sfdisk -J says, without the names of device and partitions.
func said(t interface{ Fatal(...any) }, path string) any {
	out, err := exec.Command("sfdisk", "--json", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(out), path, "DISK")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// stretches are n pieces of [from, to) that do not overlap, with gaps and
// sizes of any alignment, in any order.
func stretches(t *rapid.T, n int, from, to machine.Sectors, apart machine.Sectors) [][2]machine.Sectors {
	cuts := rapid.SliceOfNDistinct(rapid.Int64Range(int64(from), int64(to)-1), 2*n, 2*n, rapid.ID).Draw(t, "cuts")
	slices.Sort(cuts)
	var out [][2]machine.Sectors
	for i := 0; i < len(cuts); i += 2 {
		start, end := machine.Sectors(cuts[i]), machine.Sectors(cuts[i+1])
		if i > 0 && start < out[len(out)-1][0]+out[len(out)-1][1]+apart {
			start = out[len(out)-1][0] + out[len(out)-1][1] + apart
		}
		if end <= start {
			end = start + 1
		}
		if end > to {
			break
		}
		out = append(out, [2]machine.Sectors{start, end - start})
	}
	return rapid.Permutation(out).Draw(t, "order")
}

func uuidGen(t *rapid.T, what string) string {
	b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, what)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var gptTypes = []string{machine.TypeESP, machine.TypeBIOSBoot, machine.TypeLVM, machine.TypeRAID, "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
	"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "12345678-1234-4234-9234-123456789ABC"}

var gptAttrs = []string{"", "RequiredPartition", "NoBlockIOProtocol", "LegacyBIOSBootable", "GUID:60", "RequiredPartition LegacyBIOSBootable GUID:48,63"}

func gptGen(t *rapid.T) machine.PartitionTable {
	table := machine.PartitionTable{
		Kind: machine.GPT, ID: strings.ToUpper(uuidGen(t, "disk")), FirstLBA: machine.Sectors(rapid.Int64Range(2048, 4096).Draw(t, "first")),
		LastLBA: machine.Sectors(rapid.Int64Range(190_000, diskSectors-300).Draw(t, "last")), Entries: rapid.SampledFrom([]int{0, 0, 4, 256, 1024}).Draw(t, "entries"),
	}
	most := table.Entries
	if most == 0 {
		most = 128
	}
	n := rapid.IntRange(0, 4).Draw(t, "partitions")
	numbers := rapid.SliceOfNDistinct(rapid.IntRange(1, most), n, n, rapid.ID).Draw(t, "numbers")
	names := rapid.OneOf(rapid.Just(""), rapid.StringOfN(rapid.RuneFrom([]rune(` abc"\'äß,=:;#ж`)), 1, 30, -1))
	for i, s := range stretches(t, n, table.FirstLBA, table.LastLBA+1, 0) {
		table.Partitions = append(table.Partitions, machine.Partition{
			Number: numbers[i], Start: s[0], Size: s[1], Type: rapid.SampledFrom(gptTypes).Draw(t, "type"), UUID: uuidGen(t, "partition"),
			Name: strings.TrimSpace(names.Draw(t, "name")), Attrs: rapid.SampledFrom(gptAttrs).Draw(t, "attrs"),
		})
	}
	return table
}

func mbrGen(t *rapid.T) machine.PartitionTable {
	table := machine.PartitionTable{Kind: machine.MBR, ID: fmt.Sprintf("0x%08x", rapid.Uint32Min(1).Draw(t, "id"))}
	n := rapid.IntRange(0, 4).Draw(t, "partitions")
	numbers := rapid.Permutation([]int{1, 2, 3, 4}).Draw(t, "numbers")
	types := []string{"83", "82", "8e", "7", "c", "ef", "fd", "da"}
	for i, s := range stretches(t, n, 1, diskSectors, 0) {
		table.Partitions = append(table.Partitions, machine.Partition{
			Number: numbers[i], Start: s[0], Size: s[1], Type: rapid.SampledFrom(types).Draw(t, "type"), Bootable: rapid.Bool().Draw(t, "bootable"),
		})
	}
	if len(table.Partitions) == 0 || !rapid.Bool().Draw(t, "extended") {
		return table
	}
	p := &table.Partitions[0]
	if p.Size < 5000 {
		return table
	}
	p.Type, p.Bootable = rapid.SampledFrom([]string{"5", "f"}).Draw(t, "container"), false
	logical := rapid.IntRange(1, 4).Draw(t, "logical")
	inside := stretches(t, logical, p.Start+64, p.Start+p.Size, 64)
	slices.SortFunc(inside, func(a, b [2]machine.Sectors) int { return int(a[0] - b[0]) })
	for i, s := range inside {
		table.Partitions = append(table.Partitions, machine.Partition{
			Number: 5 + i, Start: s[0], Size: s[1], Type: rapid.SampledFrom(types).Draw(t, "type"), Bootable: rapid.Bool().Draw(t, "bootable"),
		})
	}
	return table
}

// TestTablesComeBackExactly records random tables, writes them to another disk
// and lets sfdisk compare: numbers with holes and out of order, any alignment,
// gaps, types, names, attributes, the length of the table and its range.
func TestTablesComeBackExactly(t *testing.T) {
	if _, err := exec.LookPath("sfdisk"); err != nil {
		t.Skip("sfdisk is not installed")
	}
	few(t, "15")
	h, dir := &system.Host{}, t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.OneOf(rapid.Custom(gptGen), rapid.Custom(mbrGen)).Draw(t, "table")
		blankImage(t, first, diskSectors)
		if err := Write(context.Background(), h, first, table); err != nil {
			t.Fatalf("%v\n%s", err, Script(table))
		}
		recorded, err := Read(context.Background(), h, first)
		if err != nil {
			t.Fatal(err)
		}
		asMade(t, table, *recorded)
		blankImage(t, second, diskSectors)
		if err := Write(context.Background(), h, second, *recorded); err != nil {
			t.Fatalf("%v\n%s", err, Script(*recorded))
		}
		if a, b := said(t, first), said(t, second); !reflect.DeepEqual(a, b) {
			t.Fatalf("sfdisk -J before and after:\n%v\n%v", a, b)
		}
	})
}

// few sets how often rapid tries: each try starts six programs.
func few(t *testing.T, n string) {
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if err := f.Value.Set(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(was) })
}

// asMade compares what was read with what was asked for.
func asMade(t *rapid.T, want, got machine.PartitionTable) {
	byNumber := func(t machine.PartitionTable) map[int]machine.Partition {
		out := map[int]machine.Partition{}
		for _, p := range t.Partitions {
			p.Path = ""
			if t.Kind == machine.MBR {
				p.UUID = ""
			}
			out[p.Number] = p
		}
		return out
	}
	if !reflect.DeepEqual(byNumber(want), byNumber(got)) || got.ID != want.ID || got.FirstLBA != want.FirstLBA || got.LastLBA != want.LastLBA || got.Entries != want.Entries {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// TestHybridComesBack makes a hybrid MBR as gdisk does, byte by byte.
func TestHybridComesBack(t *testing.T) {
	if _, err := exec.LookPath("sfdisk"); err != nil {
		t.Skip("sfdisk is not installed")
	}
	h, dir := &system.Host{}, t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	blankImage(t, first, diskSectors)
	table := machine.PartitionTable{Kind: machine.GPT, FirstLBA: 2048, Partitions: []machine.Partition{
		{Number: 1, Start: 2048, Size: 4096, Type: machine.TypeESP, UUID: "12345678-1234-4234-9234-123456789abc"},
		{Number: 2, Start: 8192, Size: 4096, Type: machine.TypeLVM, UUID: "12345678-1234-4234-9234-123456789abd"},
	}}
	if err := Write(t.Context(), h, first, table); err != nil {
		t.Fatal(err)
	}
	hybrid := func(path string) string {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, err := Hybrid(f)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := hybrid(first); s != "" {
		t.Fatalf("a protective MBR is called hybrid: %s", s)
	}
	const entries = "00feffff0cfeffff00080000001000000" + "0feffffeefeffff01000000ff070000" + "00000000000000000000000000000000" + "00000000000000000000000000000000"
	if err := WriteHybrid(t.Context(), h, first, entries); err != nil {
		t.Fatal(err)
	}
	recorded, err := Read(t.Context(), h, first)
	if err != nil || recorded.Kind != machine.GPT {
		t.Fatalf("%+v, %v", recorded, err)
	}
	if recorded.Hybrid = hybrid(first); recorded.Hybrid != entries {
		t.Fatalf("read %q", recorded.Hybrid)
	}
	blankImage(t, second, diskSectors)
	if err := Write(t.Context(), h, second, *recorded); err != nil {
		t.Fatal(err)
	}
	if got := hybrid(second); got != entries {
		t.Errorf("made again: %q", got)
	}
	if a, b := said(t, first), said(t, second); !reflect.DeepEqual(a, b) {
		t.Errorf("sfdisk -J before and after:\n%v\n%v", a, b)
	}
	for _, bad := range []string{"", "00", "zz", entries + "00"} {
		if err := WriteHybrid(t.Context(), h, second, bad); err == nil {
			t.Errorf("%q was written", bad)
		}
	}
}

// TestTablesOn4KSectors writes both kinds of tables to a loop device of
// 4096-byte sectors.
func TestTablesOn4KSectors(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a loop device needs root")
	}
	h, dir := &system.Host{}, t.TempDir()
	for i, table := range []machine.PartitionTable{
		{Kind: machine.MBR, ID: "0x12345678", Partitions: []machine.Partition{
			{Number: 1, Start: 257, Size: 1001, Type: "83", UUID: "12345678-01", Bootable: true}, {Number: 3, Start: 2048, Size: 4096, Type: "f", UUID: "12345678-03"},
			{Number: 5, Start: 2304, Size: 777, Type: "82", UUID: "12345678-05"},
		}},
		{Kind: machine.GPT, ID: "12345678-1234-4234-9234-123456789ABC", FirstLBA: 6, LastLBA: 24_000, Partitions: []machine.Partition{
			{Number: 2, Start: 6, Size: 333, Type: machine.TypeESP, UUID: "12345678-1234-4234-9234-123456789abd", Name: "a"},
		}},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		blankImage(t, path, diskSectors)
		out, err := exec.Command("losetup", "--find", "--show", "--sector-size", "4096", path).CombinedOutput()
		if err != nil {
			t.Skipf("no loop device of 4096-byte sectors here: %v: %s", err, out)
		}
		dev := strings.TrimSpace(string(out))
		t.Cleanup(func() { _ = exec.Command("losetup", "--detach", dev).Run() })
		if err := Write(t.Context(), h, dev, table); err != nil {
			t.Fatal(err)
		}
		got, err := Read(t.Context(), h, dev)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got.Partitions {
			got.Partitions[i].Path = ""
		}
		if !reflect.DeepEqual(*got, table) {
			t.Errorf("got  %+v\nwant %+v", *got, table)
		}
		if sectors := fmt.Sprint(said(t, dev)); !strings.Contains(sectors, "sectorsize:4096") {
			t.Errorf("not on 4096-byte sectors: %s", sectors)
		}
	}
}
