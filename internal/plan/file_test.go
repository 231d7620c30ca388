package plan_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/machine/machinetest"
	"github.com/mkcdrec/mkcdrec/internal/plan"
)

var made = time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)

// lab is a machine with the recorded disk vda and another one, vdb, which is
// none of the plan's business.
func lab() machine.Machine {
	m := machinetest.UEFILVM()
	m.Disks = append(slices.Clone(m.Disks), machine.Disk{Name: "vdb", Path: "/dev/vdb", Size: 20 << 30, LogicalSector: 512, Serial: "OTHER"})
	return m
}

// kept is the plan for the lab as a file.
func kept(t *testing.T) plan.File {
	t.Helper()
	f, err := plan.NewFile(restorePlan(t, lab(), lab(), info, fit.Wishes{}), lab(), []string{"vdb"}, "1.0", made)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// written is the file with a sum that is right, whatever is in it.
func written(t testing.TB, f plan.File) []byte {
	t.Helper()
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealed puts any content into a file with the right sum.
func sealed(content []byte) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, content) != nil {
		return content
	}
	s := sha256.Sum256(compact.Bytes())
	return fmt.Appendf(nil, `{"format":"mkcdrec-plan","version":1,"sha256":%q,"content":%s}`, hex.EncodeToString(s[:]), compact.Bytes())
}

func labInfo() plan.Info {
	i := info
	i.Host = lab().Hostname
	return i
}

// Each named machine's plan comes out of its file as it went in, and is
// carried out step for step.
func TestPlanFileComesBack(t *testing.T) {
	for _, name := range machinetest.Names() {
		m := machinetest.Get(name)
		clone := info
		clone.Clone = &plan.CloneWishes{Hostname: "web2", Addresses: []string{"192.0.2.7/24"}}
		for _, i := range []plan.Info{info, clone} {
			p := restorePlan(t, m, m, i, fit.Wishes{})
			f, err := plan.NewFile(p, m, nil, "1.0", made)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, err := plan.ReadFile(written(t, f))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			i.Host = m.Hostname
			now, err := got.Plan.Renew(m, nil, i)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if now.Digest() != p.Digest() || !reflect.DeepEqual(now.Renames(), p.Renames()) || now.Confirmation() != p.Confirmation() {
				t.Errorf("%s: another plan came back", name)
			}
		}
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || fail.KindOf(err) != fail.Refused || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}

// A file that somebody edited is seen as such, whatever was edited.
func TestEditedPlanFileIsRefused(t *testing.T) {
	good := string(written(t, kept(t)))
	for name, edit := range map[string]func(s string) string{
		"device":        func(s string) string { return strings.ReplaceAll(s, "vda", "vdb") },
		"one size":      func(s string) string { return strings.Replace(s, `"size": 10737418240`, `"size": 10737418239`, 1) },
		"what is lost":  func(s string) string { return strings.Replace(s, "part 1: vfat", "part 1: empt", 1) },
		"sum":           func(s string) string { return strings.Replace(s, `"sha256": "`, `"sha256": "0`, 1) },
		"other key":     func(s string) string { return strings.Replace(s, `"sha256"`, `"comment": "", "sha256"`, 1) },
		"key in a plan": func(s string) string { return strings.Replace(s, `"made"`, `"comment": "", "made"`, 1) },
		"behind":        func(s string) string { return s + "{}" },
	} {
		t.Run(name, func(t *testing.T) {
			bad := edit(good)
			if bad == good {
				t.Fatal("nothing was edited")
			}
			_, err := plan.ReadFile([]byte(bad))
			if name == "behind" { // JSON's own reader says it
				if fail.KindOf(err) != fail.Usage || err == nil {
					t.Errorf("got %v", err)
				}
				return
			}
			refused(t, err, "the plan file was changed after it was written")
		})
	}
	var formatted bytes.Buffer
	if err := json.Compact(&formatted, []byte(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.ReadFile(formatted.Bytes()); err != nil {
		t.Errorf("a formatter's work was refused: %v", err)
	}
}

// No single byte that differs gives another plan.
func TestEachByteOfAPlanFileCounts(t *testing.T) {
	good := written(t, kept(t))
	want, err := plan.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for i := 0; i < len(good); i += 41 {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if got, err := plan.ReadFile(bad); err == nil {
			accepted++
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("byte %d, %q: another plan is accepted", i, bad[i])
			}
		}
	}
	if accepted > 0 {
		t.Logf("%d changes of white space were accepted", accepted)
	}
}

func TestWhatIsNoPlanFile(t *testing.T) {
	good := written(t, kept(t))
	for _, c := range []struct {
		text string
		kind fail.Kind
	}{
		{"", fail.Usage},
		{string(good[:len(good)/2]), fail.Usage},
		{`{"version":1,"disks":[]}`, fail.Usage},
		{strings.Replace(string(good), `"version": 1`, `"version": 2`, 1), fail.Unsupported},
		{string(sealed([]byte(`null`))), fail.Unsupported},
		{string(sealed([]byte(`{"plan":{"version":1}}`))), fail.Refused},
		{string(sealed([]byte(`{"plan":{"version":1,"steps":[{"shell":"rm"}]}}`))), fail.Refused},
	} {
		if _, err := plan.ReadFile([]byte(c.text)); err == nil || fail.KindOf(err) != c.kind {
			t.Errorf("%.60q: got %v, want kind %s", c.text, err, c.kind.Name())
		}
	}
}

// Whoever knows how to make the sum right, too, meets the guards behind it.
func TestForgedPlanFileIsRefused(t *testing.T) {
	step := func(f *plan.File, k plan.Kind) *plan.Step {
		for i := range f.Plan.Steps {
			if f.Plan.Steps[i].Kind == k {
				return &f.Plan.Steps[i]
			}
		}
		panic("no step " + k)
	}
	for _, c := range []struct {
		name  string
		forge func(f *plan.File)
		want  string
	}{
		{"step on a disk that the plan does not have", func(f *plan.File) { step(f, plan.Wipe).Device = "disk:vdb" }, "no such disk"},
		{"protected disk", func(f *plan.File) {
			vdb := lab().Disks[1]
			f.Plan.Target.Disks = append(f.Plan.Target.Disks, vdb)
			f.Plan.Erases = append(f.Plan.Erases, plan.Erased{Device: "disk:vdb", Disk: vdb})
			f.Hardware = append(f.Hardware, plan.Hardware{Name: "vdb", Path: vdb.Path, Serial: vdb.Serial, Size: vdb.Size, Sector: 512})
			step(f, plan.Wipe).Device = "disk:vdb"
		}, "holds the medium or the backup"},
		{"name of the protected disk", func(f *plan.File) {
			b := bytes.ReplaceAll(written(t, *f), []byte("vda"), []byte("vdb"))
			content := struct{ Content json.RawMessage }{}
			if err := json.Unmarshal(b, &content); err != nil {
				t.Fatal(err)
			}
			*f = plan.File{}
			if err := json.Unmarshal(content.Content, f); err != nil {
				t.Fatal(err)
			}
		}, "holds the medium or the backup"},
		{"path of another disk", func(f *plan.File) { f.Plan.Target.Disks[0].Path = "/dev/vdb" }, "it names other disks than it overwrites"},
		{"path of another disk, in both places", func(f *plan.File) {
			f.Plan.Target.Disks[0].Path, f.Hardware[0].Path = "/dev/vdb", "/dev/vdb"
		}, "planned vda at /dev/vdb"},
		{"path of an array", func(f *plan.File) {
			*f = keptFor(t, "raid1-lvm")
			f.Plan.Target.Arrays[0].Path = "/dev/vdb"
		}, "where no array can be"},
		{"path of an array, by way of its directory", func(f *plan.File) {
			*f = keptFor(t, "raid1-lvm")
			f.Plan.Target.Arrays[0].Path = "/dev/md/../vdb"
		}, "where no array can be"},
		{"path of another array", func(f *plan.File) {
			*f = keptFor(t, "raid1-lvm")
			f.Plan.Target.Arrays[0].Path = "/dev/md127"
		}, "where no array can be"},
		{"name of an encrypted device", func(f *plan.File) {
			*f = keptFor(t, "luks-lvm")
			f.Plan.Target.Crypts[0].Name = ".."
		}, ""},
		{"name of a volume", func(f *plan.File) {
			lv := &f.Plan.Target.VolumeGroups[0].Logical[0]
			for i := range f.Plan.Target.FileSystems {
				if fs := &f.Plan.Target.FileSystems[i]; fs.On == machine.LVRef("vg0", lv.Name) {
					fs.On = "lv:vg0/../../vdb"
				}
			}
			for i := range f.Plan.Target.Mounts {
				if mt := &f.Plan.Target.Mounts[i]; mt.On == machine.LVRef("vg0", lv.Name) {
					mt.On = "lv:vg0/../../vdb"
				}
			}
			lv.Name = "../../vdb"
		}, "has the name"},
		{"mount point outside", func(f *plan.File) { f.Plan.Target.Mounts[1].Target = "/../../etc" }, "not an absolute, clean path"},
		{"disk that is not named as erased", func(f *plan.File) { f.Plan.Erases = f.Plan.Erases[:0] }, "names no disk"},
		{"another file system", func(f *plan.File) { step(f, plan.MakeFS).FS = &machine.FileSystem{On: "part:vda/1", Kind: "xfs"} }, "not those that this program takes"},
		{"a step less", func(f *plan.File) { f.Plan.Steps = slices.Delete(f.Plan.Steps, 0, 1) }, "not those that this program takes"},
		{"a step more", func(f *plan.File) {
			f.Plan.Steps = append(f.Plan.Steps, plan.Step{ID: "99", Kind: plan.Wipe, Device: "disk:vda"})
		}, "not those that this program takes"},
		{"steps in another order", func(f *plan.File) { slices.Reverse(f.Plan.Steps) }, "not those that this program takes"},
		{"another backup", func(f *plan.File) { f.Plan.Backup = "another" }, "the plan is for backup another"},
		{"another host", func(f *plan.File) { f.Plan.Host = "another" }, "of another"},
		{"a plan for one file system", func(f *plan.File) { f.Plan.Scope = &plan.Scope{Mounts: []string{"/"}} }, "single file system"},
		{"clone in secret", func(f *plan.File) { f.Plan.Clone = true }, "not those that this program takes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := kept(t)
			c.forge(&f)
			got, err := plan.ReadFile(written(t, f))
			if err == nil {
				_, err = got.Plan.Renew(lab(), []string{"vdb"}, labInfo())
			}
			refused(t, err, c.want)
		})
	}
}

func keptFor(t *testing.T, name string) plan.File {
	t.Helper()
	m := machinetest.Get(name)
	f, err := plan.NewFile(restorePlan(t, m, m, info, fit.Wishes{}), m, nil, "1.0", made)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The disks must be those of the plan, and be known as such.
func TestChangedHardwareIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *machine.Machine)
		want   string
	}{
		{"serial", func(m *machine.Machine) { m.Disks[0].Serial = "ELSE" }, `serial "ELSE", planned "MKC-LVM"`},
		{"WWN", func(m *machine.Machine) { m.Disks[0].WWN = "0x5" }, "WWN"},
		{"size", func(m *machine.Machine) { m.Disks[0].Size += 1 << 30 }, "11 GiB, planned 10 GiB"},
		{"sector size", func(m *machine.Machine) { m.Disks[0].LogicalSector = 4096 }, "sectors of 4096 bytes"},
		{"gone", func(m *machine.Machine) { m.Disks = m.Disks[1:] }, "not here any more"},
		{"read-only", func(m *machine.Machine) { m.Disks[0].ReadOnly = true }, "read-only"},
		{"names exchanged", func(m *machine.Machine) {
			a, b := &m.Disks[0], &m.Disks[1]
			a.Name, b.Name, a.Path, b.Path = b.Name, a.Name, b.Path, a.Path
		}, "not the one that the plan was made for"},
		{"equal serials", func(m *machine.Machine) {
			twin := m.Disks[0]
			twin.Name, twin.Path = "vdc", "/dev/vdc"
			m.Disks = append(m.Disks, twin)
		}, "vda and vdc cannot be told apart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			here := lab()
			here.Disks = slices.Clone(here.Disks)
			c.change(&here)
			f, err := plan.ReadFile(written(t, kept(t)))
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Plan.Renew(here, []string{}, labInfo())
			refused(t, err, c.want)
			if c.name == "names exchanged" && !strings.Contains(fail.HintOf(err), "the disk is vdb now") {
				t.Errorf("hint: %s", fail.HintOf(err))
			}
		})
	}
}

// Disks that cannot be told apart are no case for a file: it is not made.
func TestNoFileForTwins(t *testing.T) {
	here := lab()
	here.Disks = slices.Clone(here.Disks)
	here.Disks[0].Serial, here.Disks[1].Serial, here.Disks[1].Size = "", "", here.Disks[0].Size
	p := restorePlan(t, lab(), here, info, fit.Wishes{Map: map[string]string{"vda": "vda"}})
	_, err := plan.NewFile(p, here, nil, "1.0", made)
	refused(t, err, "cannot be told apart")
}

// What the disks hold now is what is shown, not what they held then.
func TestRenewedPlanTellsWhatIsLostNow(t *testing.T) {
	f := kept(t)
	f.Plan.Erases[0].Holds = []string{"empty"}
	f.Plan.Erases[0].Now = nil
	here := lab()
	here.FileSystems = slices.Clone(here.FileSystems)
	here.FileSystems[0].Label = "PRECIOUS"
	now, err := f.Plan.Renew(here, []string{"vdb"}, labInfo())
	if err != nil {
		t.Fatal(err)
	}
	if text := described(t, now); !strings.Contains(text, "PRECIOUS") {
		t.Errorf("not said what is lost:\n%s", text)
	}
}

// A plan has no place for a secret: no field is named like one.
func TestNoSecretInAPlanFile(t *testing.T) {
	secret := regexp.MustCompile(`(?i)pass(word|phrase)?$|secret|key_?file|private`)
	seen := map[reflect.Type]bool{}
	var walk func(of reflect.Type)
	walk = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(of.Elem())
		case reflect.Struct:
			if seen[of] {
				return
			}
			seen[of] = true
			for i := range of.NumField() {
				if secret.MatchString(of.Field(i).Name) {
					t.Errorf("%s.%s would be in a plan file", of, of.Field(i).Name)
				}
				walk(of.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeFor[plan.File]())
	if len(seen) < 20 {
		t.Errorf("looked at %d types only", len(seen))
	}
}

// FuzzReadFile: no content, sealed or not, makes the reader panic, and what it
// accepts can be shown, drawn, and held against this machine.
func FuzzReadFile(f *testing.F) {
	m := lab()
	fitted, choices, err := fit.Onto(m, m, fit.Wishes{Map: map[string]string{"vda": "vda"}})
	if err != nil {
		f.Fatal(err)
	}
	p, err := plan.Restore(fitted, choices, m, labInfo())
	if err != nil {
		f.Fatal(err)
	}
	file, err := plan.NewFile(p, m, nil, "1.0", made)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written(f, file))
	content, err := json.Marshal(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, sealed(b)} {
			file, err := plan.ReadFile(b)
			if err != nil {
				continue
			}
			if err := plan.Describe(io.Discard, file.Plan); err != nil {
				t.Fatal(err)
			}
			if err := plan.SVG(io.Discard, file.Plan); err != nil {
				t.Fatal(err)
			}
			now, err := file.Plan.Renew(lab(), []string{"vdb"}, labInfo())
			if err == nil && now.Confirmation() != "erase vda" {
				t.Fatalf("%s is accepted", now.Confirmation())
			}
		}
	})
}
