// Package rescueinit is life as PID 1 of the rescue system: mounts, devices,
// drivers, the medium, the network, consoles with a banner and a shell, sshd,
// unattended runs, and an orderly end. It opens no disk for writing, mounts
// nothing but the medium (read-only), and activates neither LVM nor RAID. What is on
// board is decided by rescue; restoring is the work of the mkcdrec command.
package rescueinit
