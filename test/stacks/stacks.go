package main

// stack is one row of the table: something that a server's storage or start is
// made of, and the tests that show what becomes of it. A test is named by its
// package below the module and its name, "internal/fit TestX/case".
type stack struct {
	name string
	// recorded are tests that read it from a real machine's files or a tool's own words.
	recorded []string
	// rebuilt are tests that make it again by the real programs, or compare the commands.
	rebuilt []string
	// booted are scenarios whose restored machine starts by its own boot loader.
	booted []string
}

var stacks = []stack{
	{"GPT, ext4, by BIOS and UEFI", []string{"internal/tool/sfdisk TestParseGPT", "internal/tool/superblock TestExtAgainstTune2fs"},
		[]string{"internal/restore TestMadeFileSystemsAreAsRecorded", "internal/restore TestWrittenTablesAreAsRecorded"},
		[]string{"test/vm TestRestoreUEFILVMFromDisc"}},
	{"MBR with logical partitions", []string{"internal/tool/sfdisk TestParseMBR"},
		[]string{"internal/restore TestWrittenTablesAreAsRecorded"}, []string{"test/vm TestRestoreBIOSLogicalFromDisc"}},
	{"LVM, linear and striped", []string{"internal/inspect TestCapturedLVM"},
		[]string{"internal/restore TestCommandsOfNamedMachines"}, []string{"test/vm TestRestoreUEFILVMFromDisc"}},
	{"LVM, thin pools and thin volumes, several groups", []string{"internal/inspect TestKindsOfVolumes"},
		[]string{"internal/tool/lvm TestCreate", "internal/restore TestCommandsOfNamedMachines"}, []string{"test/vm TestGridThinAndMirroredLVM"}},
	{"LVM, mirrors and RAID0 to 10; caches left out", []string{"internal/inspect TestKindsOfVolumes"},
		[]string{"internal/tool/lvm TestCreate", "internal/restore TestCommandsOfNamedMachines"}, []string{"test/vm TestGridThinAndMirroredLVM"}},
	{"btrfs with subvolumes", []string{"internal/tool/superblock TestBtrfsAgainstDumpSuper", "internal/tool/btrfs TestParse"},
		[]string{"internal/restore TestRealBtrfsIsRestoredWithAllItsSubvolumes"}, []string{"test/vm TestRestoreUEFIBtrfsFromStick"}},
	{"md RAID1 with a mirrored ESP and LVM", []string{"internal/tool/mdadm TestReadCaptures"},
		[]string{"internal/restore TestArraysResumeAfterEveryCommand"}, []string{"test/vm TestGridUEFIRAIDFromDisc"}},
	{"md RAID0, 4, 5, 6, 10, linear", []string{"internal/tool/mdadm TestReadCaptures"},
		[]string{"internal/tool/mdadm TestRealArrays"}, nil},
	{"LUKS2 with LVM, header copied", []string{"internal/tool/cryptsetup TestAgainstDumpJSON", "internal/inspect TestOpenLUKS"},
		[]string{"internal/restore TestRecordedHeaderComesBack"}, []string{"test/vm TestGridUEFILUKSFromDisc"}},
	{"systemd-boot, initramfs by dracut", []string{"internal/inspect TestEFIStart", "internal/tool/initramfs TestParseListing"},
		[]string{"internal/restore TestSystemdBoot", "internal/restore TestDracutRebuildsWhatLacksADriver"}, []string{"test/vm TestGridSystemdBootDracut"}},
	{"unified kernel image, other EFI programs", []string{"internal/tool/efiimage TestKindOf"}, []string{"internal/restore TestEFIProgram"}, nil},
	{"EXTLINUX", []string{"internal/inspect TestEXTLINUX"}, []string{"internal/restore TestEXTLINUX"}, []string{"test/vm TestGridEXTLINUX"}},
	{"boot entries of UEFI firmware, in order", []string{"internal/tool/efivars TestRead"}, []string{"internal/restore TestChangeEntries"},
		[]string{"test/vm TestGridSystemdBootDracut"}},
	{"btrfs over several devices, snapper layout", []string{"internal/inspect TestBtrfsOverTwoDevices"},
		[]string{"internal/restore TestDevicesAreKnownBeforeTheyAreMounted", "internal/restore TestNumbersOfSubvolumesAreThoseOfTheNewOnes"},
		[]string{"test/vm TestGridBtrfsTwoDevices"}},
	{"ext4 and xfs of many flags", []string{"internal/tool/superblock TestExtAgainstTune2fs", "internal/tool/superblock TestXFSAgainstXFSDB"},
		[]string{"internal/restore TestFileSystemsOfAllFlagsAreMadeAgain"}, nil},
	{"projects of files and directories (xfs, ext4)", []string{"internal/inspect TestQuotaLimitsAreNamed"},
		[]string{"internal/restore TestRealProjectsComeBack/xfs", "internal/restore TestRealProjectsComeBack/ext4"}, nil},
	{"f2fs, exFAT", []string{"internal/tool/superblock TestF2FSComesBack", "internal/tool/superblock TestExFATComesBack"},
		[]string{"internal/tool/superblock TestF2FSComesBack", "internal/tool/superblock TestExFATComesBack"}, nil},
	{"partition tables of any shape, hybrid MBR", []string{"internal/tool/sfdisk TestTablesComeBackExactly"},
		[]string{"internal/tool/sfdisk TestTablesComeBackExactly", "internal/tool/sfdisk TestHybridComesBack"}, nil},
	{"multipath", []string{"internal/inspect TestMultipathIsOneDisk"}, []string{"internal/restore TestMultipathInOrder"}, nil},
	{"BIOS onto UEFI, larger NVMe disk", []string{"internal/inspect TestGRUBBIOS"}, []string{"internal/fit TestBIOSMachineOntoUEFI"},
		[]string{"test/vm TestRestoreBIOSLogicalFromDisc"}},
	{"UEFI onto BIOS", []string{"internal/inspect TestEFIStart"}, []string{"internal/fit TestUEFIMachineOntoBIOS"}, []string{"test/vm TestGridUEFIToBIOS"}},
	{"mirrors flattened onto one smaller disk", []string{"internal/tool/mdadm TestReadCaptures"},
		[]string{"internal/fit TestMirrorsFlattenedOntoOneSmallerDisk", "internal/restore TestRestoreOfMirrorsOntoOneDisk"},
		[]string{"test/vm TestGridRAIDOntoOneNVMe"}},
	{"one disk onto a mirror of two", []string{"internal/inspect TestCapturedLVM"},
		[]string{"internal/fit TestPlainMachineMirrored", "internal/restore TestRestoreOfOneDiskOntoAMirror"}, []string{"test/vm TestGridOneDiskMirrored"}},
	{"two disks onto one", []string{"internal/inspect TestCapturedLVM"}, []string{"internal/fit TestTwoDisksLaidTogether"}, nil},
	{"into a disk image", []string{"internal/inspect TestCapturedLVM"},
		[]string{"internal/restore TestRealMachineIntoImages", "internal/restore TestRealPartitionsIntoAnImage"}, []string{"test/vm TestGridToImage"}},
}
