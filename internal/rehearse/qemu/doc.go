// Package qemu starts virtual machines and talks to them: firmware, disks of
// every bus, CDs, direct kernel boot, the serial console as a stream of text
// to wait in, keys, screen dumps, media changes, power cuts, snapshots, and
// commands and files by ssh. It is how a recovery medium is tried out before
// the disaster, and how mkcdrec's own scenarios are tested.
//
// It does not know what a recovery medium is and judges nothing: see its
// callers.
//
// A virtual machine lives long and is talked to while it runs, which
// system.Runner (start, wait, result) cannot express. This package therefore
// starts QEMU itself, by os/exec; it is the only one beside package system
// that does. Short programs (qemu-img) go through a system.Runner.
package qemu
