package cli

import (
	"slices"

	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/snapshot"
)

// mediumPlan is what rescue or backup would make, for programs.
type mediumPlan struct {
	Makes  string      `json:"makes"`            // "rescue" or "backup"
	Host   string      `json:"host"`             // the machine that is recorded
	Image  string      `json:"image,omitempty"`  // path of the ISO; "": none is made
	Rescue *rescuePlan `json:"rescue,omitempty"` // what is in the image; nil: none is made
	Backup *backupPlan `json:"backup,omitempty"` // nil: no backup is made
}

// rescuePlan is what goes into the rescue system beside what is in each of them.
type rescuePlan struct {
	Modules      string   `json:"modules"`            // the set of kernel modules: generic, host or all
	RestoreTools []string `json:"restore_tools"`      // the programs that the restore of this machine calls
	Programs     []string `json:"programs,omitempty"` // further ones of the settings
	Files        []string `json:"files,omitempty"`    // of the settings
	Answers      string   `json:"answers,omitempty"`  // path of the answer file of an unattended restore
}

// backupPlan is what is backed up, and where to.
type backupPlan struct {
	To               string             `json:"to"` // path of the image, or the URL or directory as it was given
	Mounts           []machine.Mount    `json:"mounts"`
	Used             machine.Bytes      `json:"used"`              // on their file systems, before anything is left out
	Only             []string           `json:"only,omitempty"`    // absolute; none: the whole machine
	Exclude          []string           `json:"exclude,omitempty"` // patterns
	SnapshotsLeftOut []backup.Snapshots `json:"snapshots_left_out,omitempty"`
	ReadFrom         []snapshot.Choice  `json:"read_from"`             // how each mount is read
	VolumeSize       int64              `json:"volume_size,omitempty"` // in bytes; 0: one volume
}

// plan is what the job would make.
func (j *job) plan() mediumPlan {
	p := mediumPlan{Makes: j.kind, Host: j.m.Hostname}
	if !j.f.noMedium {
		set := j.settings.Rescue
		p.Image = j.image
		p.Rescue = &rescuePlan{Modules: set.Modules, RestoreTools: j.tools, Programs: set.Programs, Files: set.Files, Answers: j.f.answers}
	}
	if j.kind == "backup" {
		p.Backup = &backupPlan{To: j.destination(), Mounts: j.m.Mounts, Used: j.used(), Only: j.f.only, Exclude: j.f.exclude,
			SnapshotsLeftOut: j.snapshots, ReadFrom: j.source.Choices, VolumeSize: j.f.volume}
	}
	return p
}

// destination is where the backup goes.
func (j *job) destination() string {
	if j.f.to != "" {
		return j.f.to
	}
	return j.image
}

// used is how much is on the mounted file systems, each counted once.
func (j *job) used() (sum machine.Bytes) {
	for _, fs := range j.m.FileSystems {
		if slices.ContainsFunc(j.m.Mounts, func(mt machine.Mount) bool { return mt.On == fs.On }) {
			sum += fs.Used
		}
	}
	return sum
}
