package sfdisk

import (
	"context"
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

func TestParseMBR(t *testing.T) {
	b, err := os.ReadFile("testdata/mbr-logical.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	part := func(n int, path string, start, size machine.Sectors, kind, uuid string, boot bool) machine.Partition {
		return machine.Partition{Number: n, Path: path, Start: start, Size: size, Type: kind, UUID: uuid, Bootable: boot}
	}
	want := &machine.PartitionTable{Kind: machine.MBR, ID: "0x2b3c4d5e", Partitions: []machine.Partition{
		part(1, "/dev/vdb1", 2048, 409600, "83", "2b3c4d5e-01", true),
		part(2, "/dev/vdb2", 411648, 2660352, "5", "2b3c4d5e-02", false),
		part(5, "/dev/vdb5", 413696, 614400, "83", "2b3c4d5e-05", false),
		part(6, "/dev/vdb6", 1030144, 131072, "82", "2b3c4d5e-06", false),
		part(7, "/dev/vdb7", 1163264, 1908736, "8e", "2b3c4d5e-07", false),
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestParseGPT(t *testing.T) {
	b, err := os.ReadFile("testdata/gpt.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	esp := machine.Partition{Number: 1, Path: "/dev/vda1", Start: 2048, Size: 131072, Type: machine.TypeESP, UUID: "5748a066-8ab0-5c4e-8f75-d381db374158", Name: "ESP"}
	if got.Kind != machine.GPT || got.LastLBA != 2097118 || len(got.Partitions) != 3 || got.Partitions[0] != esp {
		t.Errorf("got %+v", got)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		device, node string
		want         int
	}{
		{"/dev/sda", "/dev/sda12", 12}, {"/dev/nvme0n1", "/dev/nvme0n1p2", 2}, {"/tmp/x.img", "/tmp/x.img3", 3},
		{"/dev/disk/by-id/x", "/dev/disk/by-id/x-part4", 4}, {"/dev/sda", "/dev/sdb1", 0}, {"/dev/sda", "/dev/sda", 0}, {"/dev/sda", "/dev/sda-1", 0},
	} {
		got, err := number(c.device, c.node)
		if got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("number(%s, %s) = %d, %v, want %d", c.device, c.node, got, err, c.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	r := &system.Recorder{Strict: true, Answers: map[string]system.Answer{
		"sfdisk --json /dev/a": {ExitCode: 1, Stderr: "sfdisk: /dev/a: does not contain a recognized partition table"},
		"sfdisk --json /dev/b": {Stdout: `{"partitiontable":{"label":"sun","device":"/dev/b","unit":"sectors"}}`},
		"sfdisk --json /dev/c": {Stdout: `{`},
	}}
	for path, want := range map[string]error{"/dev/a": ErrNoTable, "/dev/b": errors.ErrUnsupported, "/dev/c": nil} {
		if _, err := Read(context.Background(), r, path); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
}
