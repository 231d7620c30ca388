package cli

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/config"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/medium"
	"github.com/mkcdrec/mkcdrec/internal/rescue"
)

// rescueOptions are what the settings and this job say of the rescue system.
func (j *job) rescueOptions(stage func(stage string, done, total int)) rescue.Options {
	set := j.settings.Rescue
	return rescue.Options{
		Kernel: set.Kernel, Modules: rescue.ModuleSet(set.Modules), ExtraModules: set.ExtraModules, ExcludeModules: set.ExcludeModules,
		Programs: set.Programs, RestoreTools: j.tools, Files: set.Files, ManualPages: set.ManualPages, PrivateKeys: set.PrivateKeys,
		Identity: j.identity, WorkDir: j.work, Progress: stage, OwnPages: manualPages, Lang: os.Getenv("LANG"),
	}
}

// mediumOptions are what goes on the medium beside the backup, and what its
// boot screen says.
func (j *job) mediumOptions(res rescue.Result, loaders medium.Loaders) (medium.Options, error) {
	o := medium.Options{
		ID: j.identity.MediumID, Host: j.m.Hostname, Made: j.identity.Made, BackupID: j.identity.BackupID,
		Kernel: res.KernelPath, Initramfs: res.InitramfsPath, Loaders: loaders,
	}
	var err error
	if o.Menu, err = bootMenu(j.settings.Boot); err != nil {
		return o, err
	}
	if j.f.to != "" {
		o.BackupID = "" // it lies elsewhere
	}
	o.Menu.Partial = len(j.f.only) > 0
	if j.f.answers != "" {
		o.Extra = append(o.Extra, medium.File{Name: answersName, Path: j.f.answers})
		o.Menu.Unattended = true
	}
	return o, nil
}

// answersName is the answer file on the medium.
const answersName = "answers.toml"

// bootMenu turns the settings of the boot screen into medium's.
func bootMenu(b config.Boot) (medium.Menu, error) {
	menu := medium.Menu{Timeout: time.Duration(b.Timeout) * time.Second, Default: b.Default, KernelArgs: strings.Fields(b.KernelArgs)}
	if b.Timeout == 0 {
		menu.Timeout = time.Second // medium takes 0 for its default
	}
	if b.Serial == "" {
		menu.NoSerial = true
		return menu, nil
	}
	port, speed, _ := strings.Cut(b.Serial, ",")
	unit, err := strconv.Atoi(strings.TrimPrefix(port, "ttyS"))
	if !strings.HasPrefix(port, "ttyS") || err != nil {
		return menu, fail.New(fail.Usage, `boot.serial = %q is not allowed: write a port and a speed, such as "ttyS0,115200"`, b.Serial)
	}
	menu.SerialUnit = unit
	if speed != "" {
		if menu.SerialSpeed, err = strconv.Atoi(speed); err != nil {
			return menu, fail.New(fail.Usage, "boot.serial: %q is not a speed in baud", speed)
		}
	}
	return menu, nil
}
