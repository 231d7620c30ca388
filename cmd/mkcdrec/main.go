// Command mkcdrec makes a bootable recovery medium of a running Linux system,
// backs it up and restores it. Started as PID 1 of that medium, the same
// binary is the rescue system's first process.
package main

import (
	"os"

	"github.com/mkcdrec/mkcdrec/internal/cli"
	"github.com/mkcdrec/mkcdrec/internal/rescueinit"
)

func main() {
	switch {
	case rescueinit.Wanted(os.Args[0], os.Getpid()):
		rescueinit.Main()
	case rescueinit.EndName(os.Args[0]):
		os.Exit(rescueinit.EndCommand(os.Args, os.Stderr))
	}
	os.Exit(cli.Main(os.Args))
}
