package lvm

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/system"
)

// programs are lvm's commands, which are links to it; subcommands follow "lvm".
var programs = regexp.MustCompile(`^(pv|vg|lv)[a-z]+$`)

// Confine makes an lvm command see the devices with these names in /dev alone,
// whatever lvm.conf(5) or a devices file says, and keep no copy of its metadata
// in /etc/lvm of this machine. A name is a regular expression without its
// anchors. Other programs stay as they are.
func Confine(c system.Command, devices []string) system.Command {
	at := 0
	switch name := path.Base(c.Name); {
	case name == "lvm":
		at = min(1, len(c.Args))
	case !programs.MatchString(name):
		return c
	}
	var accept []string
	for _, d := range devices {
		accept = append(accept, `"a|^/dev/`+d+`$|"`)
	}
	filter := "[" + strings.Join(append(accept, `"r|.*|"`), ",") + "]"
	config := "devices{use_devicesfile=0 filter=" + filter + " global_filter=" + filter + "} backup{backup=0 archive=0}"
	c.Args = slices.Insert(slices.Clone(c.Args), at, "--config", config)
	return c
}
