package restore

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mkcdrec/mkcdrec/internal/fit"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/plan"
	"github.com/mkcdrec/mkcdrec/internal/system"
	"github.com/mkcdrec/mkcdrec/internal/testtree"
)

// whole restores the whole machine by wishes. All is unmounted before.
func (r *realMachine) whole(t *testing.T, w fit.Wishes) (Report, plan.Plan) {
	t.Helper()
	here := r.here(t)
	changes, err := w.Changes(r.Machine)
	if err != nil {
		t.Fatal(err)
	}
	fitted, choices, err := fit.Onto(r.Machine, here, w)
	if err != nil {
		t.Fatal(err)
	}
	here.Firmware = r.Firmware
	p, err := plan.Restore(fitted, choices, here, plan.Info{Backup: r.backup.Manifest.ID, Host: r.Hostname, Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	t.Cleanup(func() {
		testtree.Shell(t, `if grep -qF " $1" /proc/self/mountinfo; then umount --recursive --lazy "$1" || true; fi`, filepath.Join(base, "target"))
	})
	rep, err := Run(t.Context(), Options{
		Plan: p, Backup: FromArchive(r.backup), System: &system.Host{}, Verify: VerifyFull,
		TargetRoot: filepath.Join(base, "target"), Journal: filepath.Join(base, "journal"),
		Look: func(context.Context) (machine.Machine, error) { return r.here(t), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t)
	return rep, p
}

var (
	attributes = regexp.MustCompile(`[-a-zA-Z]{22} \./`)
	lostFound  = regexp.MustCompile(`(?m)^.*\./lost\+found.*\n?`)
	ofXFS      = regexp.MustCompile(`(\|)?trusted\.SGI_ACL_(FILE|DEFAULT)=0x[0-9a-f]*`)
)

// anyKind takes from a description of a tree what not every kind of file
// system has: extents (e), top directories (T) and lost+found of ext4, xfs's own
// view of ACLs.
func anyKind(tree string) string {
	tree = attributes.ReplaceAllStringFunc(tree, func(a string) string {
		return strings.NewReplacer("e", "-", "T", "-").Replace(a)
	})
	return lostFound.ReplaceAllString(ofXFS.ReplaceAllString(tree, ""), "")
}

// One file system is left out and its disk untouched; another is made as each
// of the other kinds, with everything in it that the kind can hold.
func TestRealWishes(t *testing.T) {
	for _, tt := range []struct {
		was, becomes machine.FSKind
		mkfs         []string
	}{
		{"ext4", "xfs", []string{"mkfs.ext4", "-q", "-L", "data-of-ext4"}},
		{"ext4", "btrfs", []string{"mkfs.ext4", "-q", "-L", "data-of-ext4"}},
		{"xfs", "ext4", []string{"mkfs.xfs", "-q", "-L", "data"}},
	} {
		t.Run(string(tt.was+" becomes "+tt.becomes), func(t *testing.T) {
			testtree.Need(t, "mkfs."+string(tt.becomes))
			r := newReal(t)
			r.Kernel = "6.1.0"
			data := r.loop(t, "640M", tt.mkfs...)
			uuid := r.record(t, data, tt.was).UUID
			r.mount(t, data, "/data", "")
			scratch := r.loop(t, "64M", "mkfs.ext4", "-q")
			r.record(t, scratch, "ext4")
			r.mount(t, scratch, "/scratch", "")
			at := filepath.Join(r.root, "data")
			testtree.Everything(t, filepath.Join(at, "tree"))
			fstab := "LABEL=root / ext4 defaults 0 1\nUUID=" + uuid + " /data " + string(tt.was) + " noatime,data=ordered,logbufs=4,nofail 0 2\n/dev/" + scratch + " /scratch ext4 defaults 0 2\n"
			testtree.Shell(t, `printf %s "$2" > "$1/etc/fstab"; echo mine > "$1/scratch/file"; echo not > "$1/etc/not-scratch"`, r.root, fstab)
			r.backUp(t)
			want := anyKind(testtree.Describe(t, at))
			testtree.Unlock(at)
			r.unmount(t, "/scratch")
			r.unmount(t, "/data")
			r.unmount(t, "/")
			before := testtree.Shell(t, `sha256sum < "$1"`, r.images[scratch])

			rep, p := r.whole(t, fit.Wishes{Drop: []string{"/scratch"}, Kinds: map[string]machine.FSKind{"/data": tt.becomes}})
			if after := testtree.Shell(t, `sha256sum < "$1"`, r.images[scratch]); after != before {
				t.Error("the disk of what was left out was written to")
			}
			if slices.ContainsFunc(p.Erases, func(e plan.Erased) bool { return e.Device == machine.DiskRef(scratch) }) {
				t.Error("the plan says that it erases the disk of what was left out")
			}
			for _, w := range rep.Warnings {
				if !strings.Contains(w, "that the new kind of file system does not have") {
					t.Errorf("warning: %s", w)
				}
			}
			testtree.Shell(t, `mount -o noatime "$1" "$3"; mount -o noatime "$2" "$3/data"`, r.Disks[0].Path, r.Disk(data).Path, r.root)
			if got := testtree.Shell(t, `blkid -p -o value -s TYPE -s UUID "$1" | sort; ls -A "$2/scratch"; stat -c %F "$2/scratch"`, r.Disk(data).Path, r.root); got != testtree.Shell(t, `printf '%s\n' "$1" "$2" | sort; echo directory`, uuid, string(tt.becomes)) {
				t.Errorf("on the disk, and at the mount point of what was left out:\n%s", got)
			}
			if d := testtree.Diff(want, anyKind(testtree.Describe(t, at))); d != "" {
				t.Errorf("the tree differs:\n%s", d)
			}
			got, err := os.ReadFile(filepath.Join(r.root, "etc/fstab"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(got), "\n")
			if len(lines) != 5 || !strings.HasPrefix(lines[1], "UUID="+uuid+" /data "+string(tt.becomes)+" noatime,") || lines[3] != "#/dev/"+scratch+" /scratch ext4 defaults 0 2" {
				t.Errorf("fstab:\n%s", got)
			}
			if old, err := os.ReadFile(filepath.Join(r.root, "etc/fstab"+asRecorded)); string(old) != fstab {
				t.Errorf("the fstab of the backup is not kept: %q, %v", old, err)
			}
			testtree.Shell(t, `mount --fake --all --fstab "$1" && umount "$2/data"`, filepath.Join(r.root, "etc/fstab"), r.root)
			if judged := testtree.Shell(t, foreign, r.Disk(data).Path); strings.Contains(judged, "finds errors") {
				t.Errorf("other tools say:\n%s", judged)
			}
		})
	}
}
