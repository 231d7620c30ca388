// Package vm holds the scenarios that run whole machines in QEMU: fixtures
// (Debian machines made from packages, see recipes/), the recovery medium
// started on them through real firmware, and the comparison of the restored
// machine with the original by tools that are not ours.
//
// The scenarios take minutes in emulation and need root, so they run only
// with MKCDREC_VM=1 (make vm). What they make is kept below MKCDREC_CACHE
// (/var/cache/mkcdrec-test), by the hash of its recipe.
package vm
