package rescue

import "slices"

// Table is every program that belongs on the medium. To add one, add a line.
// A user's own come from the settings (Options.Programs).
func Table() []Program {
	return slices.Concat(shellTable, filesTable, compressionTable, diskTable, filesystemTable, volumeTable, networkTable, editorTable, systemTable, manualTable)
}

// TableFor is Table for one machine: what restoring it calls, and the user's
// own programs, are needed.
func TableFor(restore, own []string) []Program {
	table := Table()
	need := func(names []string, why string) {
		for _, name := range names {
			if i := slices.IndexFunc(table, func(p Program) bool { return p.Name == name }); i >= 0 {
				table[i].Needed = true
			} else {
				table = append(table, Program{Name: name, Group: "own", Needed: true, For: why, NoCheck: "its arguments are not known"})
			}
		}
	}
	need(restore, "restoring this machine")
	need(own, "the settings' list of programs")
	return table
}

var (
	one       = []string{"-V"}
	none      = []string{}
	help      = []string{"--help"}
	coreutils = pkg("coreutils")
	utilLinux = pkg("util-linux")
	e2fsprogs = pkg("e2fsprogs")
)

var shellTable = slices.Concat(
	[]Program{{Name: "bash", Group: "shell", Needed: true, For: "the prompt of the rescue system", Pkg: pkg("bash")}},
	[]Program{{Name: "sh", Group: "shell", Needed: true, For: "scripts", Pkg: pkg("dash", "bash", "bash", "bash"), Check: []string{"-c", "exit 0"}}},
	rows("shell", false, "splitting a console into several", pkg("tmux"), one, "tmux"),
	rows("shell", false, "small versions of what else is missing", pkg("busybox-static", "busybox", "busybox-static", "busybox"), help, "busybox"),
)

var filesTable = slices.Concat(
	rows("files", true, "working with files", coreutils, nil, "cat", "chgrp", "chmod", "chown", "cp", "cut", "date", "dd", "df", "du",
		"echo", "env", "head", "id", "ln", "ls", "mkdir", "mkfifo", "mknod", "mv", "readlink", "rm", "rmdir", "sha256sum", "sleep", "sort",
		"stat", "stty", "sync", "tail", "tee", "touch", "tr", "true", "truncate", "tty", "uname", "wc"),
	rows("files", false, "working with files", coreutils, nil, "[", "basename", "base64", "chroot", "cksum", "comm", "csplit", "dirname",
		"expr", "factor", "fmt", "fold", "groups", "hostid", "install", "join", "link", "logname", "md5sum", "mktemp", "nice", "nl", "nohup",
		"nproc", "numfmt", "od", "paste", "pathchk", "printenv", "printf", "pwd", "realpath", "seq", "sha1sum", "sha512sum", "shred", "shuf",
		"split", "stdbuf", "sum", "tac", "test", "timeout", "tsort", "uniq", "unlink", "users", "vdir", "dir", "who", "whoami", "yes"),
	rows("files", true, "searching in text", pkg("grep"), nil, "grep"),
	rows("files", false, "searching in text", pkg("grep"), nil, "egrep", "fgrep"),
	rows("files", true, "editing streams", pkg("sed"), nil, "sed"),
	[]Program{{Name: "awk", Or: []string{"mawk", "gawk"}, Group: "files", Needed: true, For: "scripts", Pkg: pkg("mawk", "gawk"), Check: []string{"BEGIN{exit 0}"}}},
	rows("files", true, "finding files", pkg("findutils"), nil, "find", "xargs"),
	rows("files", false, "comparing files", pkg("diffutils"), nil, "diff", "cmp"),
	rows("files", true, "paging through text", pkg("less"), one, "less"),
	rows("files", false, "paging through text", utilLinux, one, "more"),
	rows("files", false, "looking at bytes", pkg("bsdextrautils", "util-linux"), one, "hexdump", "hd", "column"),
	rows("files", false, "extended attributes and ACLs", pkg("acl"), nil, "getfacl", "setfacl"),
	rows("files", false, "extended attributes and ACLs", pkg("attr"), nil, "getfattr", "setfattr"),
	rows("files", false, "extended attributes and ACLs", pkg("libcap2-bin", "libcap", "libcap-progs", "libcap"), none, "getcap", "setcap"),
	rows("files", true, "file attributes", e2fsprogs, one, "chattr", "lsattr"),
	rows("files", false, "where the holes of a file are", e2fsprogs, one, "filefrag"),
	rows("files", false, "copying trees", pkg("cpio"), nil, "cpio"),
)

var compressionTable = slices.Concat(
	rows("compression", true, "unpacking archives by hand", pkg("tar"), nil, "tar"),
	rows("compression", true, "unpacking archives by hand", pkg("gzip"), nil, "gzip"),
	rows("compression", false, "unpacking archives by hand", pkg("gzip"), nil, "gunzip", "zcat"),
	rows("compression", false, "unpacking archives by hand", pkg("bzip2"), help, "bzip2", "bunzip2"),
	rows("compression", false, "unpacking archives by hand", pkg("xz-utils", "xz"), nil, "xz", "unxz", "xzcat"),
	rows("compression", true, "unpacking a backup by hand", pkg("zstd"), nil, "zstd"),
	rows("compression", false, "unpacking a backup by hand", pkg("zstd"), nil, "unzstd", "zstdcat"),
)

var diskTable = slices.Concat(
	rows("disk", true, "recording and restoring disks", utilLinux, nil, "blkid", "lsblk", "wipefs"),
	rows("disk", true, "partition tables", pkg("fdisk", "util-linux"), nil, "sfdisk"),
	rows("disk", false, "partition tables", pkg("fdisk", "util-linux"), nil, "fdisk", "cfdisk"),
	rows("disk", true, "telling the kernel about partitions", utilLinux, nil, "blockdev", "partx"),
	rows("disk", true, "images and files as disks", pkg("mount", "util-linux"), nil, "losetup"),
	rows("disk", false, "partition tables", pkg("parted"), nil, "parted", "partprobe"),
	rows("disk", false, "GPT partition tables", pkg("gdisk", "gdisk", "gptfdisk", "gptfdisk"), nil, "sgdisk"),
	[]Program{{Name: "gdisk", Group: "disk", For: "GPT partition tables", Pkg: pkg("gdisk", "gdisk", "gptfdisk", "gptfdisk"), Check: []string{"-l", "/dev/null"}}},
	rows("disk", false, "the health of disks", pkg("smartmontools"), nil, "smartctl"),
	rows("disk", false, "parameters of disks", pkg("hdparm"), one, "hdparm"),
	rows("disk", false, "NVMe disks", pkg("nvme-cli"), []string{"version"}, "nvme"),
	rows("disk", false, "tape drives", pkg("mt-st", "mt-st", "mt_st", "mt-st"), nil, "mt"),
	rows("disk", false, "rescuing data from a failing disk", pkg("gddrescue", "ddrescue", "gnu_ddrescue", "ddrescue"), nil, "ddrescue"),
	rows("disk", false, "discarding blocks", utilLinux, nil, "blkdiscard", "fstrim"),
	rows("disk", false, "disks by SCSI", pkg("sg3-utils", "sg3_utils"), one, "sg_inq"),
)

var filesystemTable = slices.Concat(
	rows("filesystem", true, "mounting", pkg("mount", "util-linux"), nil, "mount", "umount", "swapon", "swapoff"),
	rows("filesystem", true, "mounting", utilLinux, nil, "findmnt", "mountpoint", "mkswap", "switch_root"),
	rows("filesystem", false, "swap files", utilLinux, nil, "fallocate"),
	rows("filesystem", false, "mounting", utilLinux, nil, "swaplabel", "fsck", "fsfreeze", "mkfs"),
	rows("filesystem", true, "ext2, ext3 and ext4", e2fsprogs, one, "mkfs.ext4", "e2fsck"),
	rows("filesystem", true, "ext2, ext3 and ext4", e2fsprogs, none, "resize2fs", "tune2fs"),
	rows("filesystem", false, "ext2, ext3 and ext4", e2fsprogs, one, "mke2fs", "mkfs.ext2", "mkfs.ext3", "fsck.ext2", "fsck.ext3", "fsck.ext4", "badblocks", "e2image"),
	rows("filesystem", false, "ext2, ext3 and ext4", e2fsprogs, none, "dumpe2fs", "e2label"),
	rows("filesystem", false, "repairing ext file systems by hand", e2fsprogs, one, "debugfs"),
	rows("filesystem", false, "xfs", pkg("xfsprogs"), one, "mkfs.xfs", "xfs_repair", "xfs_db", "xfs_growfs", "xfs_admin", "xfs_io", "xfs_info", "xfs_spaceman", "xfs_metadump", "xfs_quota"),
	rows("filesystem", false, "xfs", pkg("xfsprogs"), none, "fsck.xfs"),
	rows("filesystem", false, "btrfs", pkg("btrfs-progs", "btrfs-progs", "btrfsprogs", "btrfs-progs"), nil, "btrfs", "mkfs.btrfs", "btrfstune"),
	rows("filesystem", false, "vfat: the EFI system partition", pkg("dosfstools"), none, "mkfs.vfat", "fsck.vfat", "fatlabel", "mkfs.fat", "fsck.fat"),
	rows("filesystem", false, "exfat", pkg("exfatprogs"), one, "mkfs.exfat", "fsck.exfat", "tune.exfat"),
	rows("filesystem", false, "f2fs", pkg("f2fs-tools"), one, "mkfs.f2fs", "fsck.f2fs"),
	rows("filesystem", false, "ntfs", pkg("ntfs-3g", "ntfsprogs", "ntfsprogs", "ntfs-3g"), help, "ntfsfix", "ntfsresize", "mkfs.ntfs", "ntfsclone"),
	rows("filesystem", false, "squashfs", pkg("squashfs-tools", "squashfs-tools", "squashfs", "squashfs-tools"), []string{"-version"}, "unsquashfs"),
	rows("filesystem", false, "NFS", pkg("nfs-common", "nfs-utils", "nfs-client", "nfs-utils"), one, "mount.nfs", "umount.nfs", "mount.nfs4", "umount.nfs4"),
	rows("filesystem", false, "Windows shares", pkg("cifs-utils"), one, "mount.cifs"),
	rows("filesystem", false, "directories over ssh", pkg("sshfs", "fuse-sshfs", "sshfs", "sshfs"), nil, "sshfs"),
	rows("filesystem", false, "file systems in user space", pkg("fuse3"), one, "fusermount3"),
)

var volumeTable = slices.Concat(
	[]Program{{Name: "lvm", Group: "volumes", For: "logical volumes", Pkg: pkg("lvm2"), Check: []string{"version"}}},
	rows("volumes", false, "logical volumes", pkg("lvm2"), nil, "pvs", "pvcreate", "pvremove", "pvresize", "pvscan", "pvdisplay", "pvmove",
		"pvchange", "vgs", "vgcreate", "vgremove", "vgscan", "vgchange", "vgextend", "vgreduce", "vgrename", "vgdisplay", "vgcfgbackup",
		"vgcfgrestore", "vgexport", "vgimport", "lvs", "lvcreate", "lvremove", "lvresize", "lvextend", "lvreduce", "lvrename", "lvscan",
		"lvdisplay", "lvchange", "lvconvert"),
	rows("volumes", false, "shrinking file systems with their volumes", pkg("lvm2"), help, "fsadm"),
	rows("volumes", false, "thin pools", pkg("thin-provisioning-tools", "device-mapper-persistent-data", "thin-provisioning-tools", "thin-provisioning-tools"), one, "thin_check", "thin_repair", "thin_dump", "thin_restore", "cache_check"),
	[]Program{{Name: "dmsetup", Group: "volumes", For: "device mapper", Pkg: pkg("dmsetup", "device-mapper"), Check: help}},
	rows("volumes", false, "software RAID", pkg("mdadm"), nil, "mdadm"),
	rows("volumes", false, "encrypted disks", pkg("cryptsetup-bin", "cryptsetup"), nil, "cryptsetup", "integritysetup", "veritysetup"),
	rows("volumes", false, "multipath", pkg("multipath-tools", "device-mapper-multipath", "multipath-tools"), []string{"-h"}, "multipath", "multipathd"),
	rows("volumes", false, "partitions on mapped devices", pkg("kpartx", "kpartx", "kpartx", "multipath-tools"), none, "kpartx"),
	rows("volumes", false, "disks over iSCSI", pkg("open-iscsi", "iscsi-initiator-utils", "open-iscsi"), nil, "iscsiadm"),
)

var networkTable = slices.Concat(
	rows("network", false, "network addresses and routes", pkg("iproute2", "iproute", "iproute2", "iproute2"), one, "ip", "ss", "bridge"),
	rows("network", false, "testing the network", pkg("iputils-ping", "iputils"), one, "ping"),
	rows("network", false, "addresses by DHCP (mkcdrec has its own client too)", pkg("isc-dhcp-client", "dhcp-client", "dhcp-client", "dhclient"), nil, "dhclient"),
	rows("network", false, "backups and shells over ssh", pkg("openssh-client", "openssh-clients", "openssh-clients", "openssh"), one, "ssh"),
	rows("network", false, "backups and shells over ssh", pkg("openssh-client", "openssh-clients", "openssh-clients", "openssh"), none, "scp", "sftp"),
	[]Program{{Name: "ssh-keygen", Group: "network", For: "host keys of the rescue system", Pkg: pkg("openssh-client", "openssh", "openssh-common", "openssh"), Check: []string{"-?"}}},
	[]Program{{Name: "sshd", Group: "network", For: "logging in to the rescue system", Pkg: pkg("openssh-server", "openssh-server", "openssh-server", "openssh"), Check: []string{"-?"}}},
	rows("network", false, "fetching files", pkg("curl"), nil, "curl"),
	rows("network", false, "fetching files", pkg("wget"), nil, "wget"),
	rows("network", false, "copying trees over the network", pkg("rsync"), nil, "rsync"),
	rows("network", false, "network cards", pkg("ethtool"), nil, "ethtool"),
	rows("network", false, "watching the network", pkg("tcpdump"), nil, "tcpdump"),
	rows("network", false, "connections by hand", pkg("netcat-openbsd", "nmap-ncat", "netcat-openbsd", "openbsd-netcat"), []string{"-h"}, "nc"),
	rows("network", false, "connections by hand", pkg("socat"), one, "socat"),
	rows("network", false, "keys for ssh", pkg("openssh-client", "openssh-clients", "openssh-clients", "openssh"), []string{"-?"}, "ssh-add", "ssh-agent"),
	rows("network", false, "old machines and switches", pkg("telnet"), nil, "telnet"),
	rows("network", false, "fetching files by FTP", pkg("ftp"), []string{"-?"}, "ftp"),
	rows("network", false, "fetching files by FTP", pkg("lftp"), nil, "lftp"),
	// dig and host are not here: their libraries take 39 MB. getent looks names up.
	rows("network", false, "finding the way to a host", pkg("traceroute"), nil, "traceroute"),
	rows("network", false, "finding the way to a host", pkg("iputils-tracepath", "iputils"), one, "tracepath"),
	rows("network", false, "finding the way to a host", pkg("mtr-tiny", "mtr"), nil, "mtr", "mtr-packet"),
	rows("network", false, "who has an address", pkg("iputils-arping", "iputils"), one, "arping"),
	rows("network", false, "what an NFS server has", pkg("nfs-common", "nfs-utils", "nfs-client", "nfs-utils"), nil, "showmount"),
	rows("network", false, "NFS version 3", pkg("rpcbind"), []string{"-h"}, "rpcinfo"),
	[]Program{{Name: "rpc.statd", Group: "network", For: "NFS version 3", Pkg: pkg("nfs-common", "nfs-utils", "nfs-client", "nfs-utils"), NoCheck: "a daemon"}},
)

var editorTable = []Program{
	{Name: "vi", Or: []string{"vim.tiny", "vim", "nvi"}, Group: "editor", For: "editing files", Pkg: pkg("vim-tiny", "vim-minimal", "vim-small", "vi"), Check: []string{"--version"}},
	{Name: "nano", Group: "editor", For: "editing files", Pkg: pkg("nano"), Check: one},
}

var systemTable = slices.Concat(
	[]Program{
		{Name: "systemd-udevd", Or: []string{"/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd", "udevd"}, Group: "system", Needed: true,
			For: "device nodes and links", Pkg: pkg("udev", "systemd-udev", "udev", "systemd")},
	},
	rows("system", true, "device nodes and links", pkg("udev", "systemd-udev", "udev", "systemd"), nil, "udevadm"),
	rows("system", true, "kernel modules", pkg("kmod"), nil, "kmod", "modprobe", "insmod", "rmmod", "lsmod", "modinfo", "depmod"),
	rows("system", false, "processes", pkg("procps", "procps-ng", "procps", "procps-ng"), nil, "ps", "free", "uptime", "vmstat", "pgrep", "pkill", "sysctl", "kill"),
	rows("system", false, "processes", pkg("procps", "procps-ng", "procps", "procps-ng"), []string{"-v"}, "top"),
	rows("system", false, "processes", pkg("psmisc"), one, "fuser", "killall", "pstree"),
	rows("system", false, "the kernel's messages", utilLinux, nil, "dmesg", "setsid", "hwclock", "lscpu", "nsenter", "unshare", "rev", "flock", "taskset", "agetty"),
	rows("system", false, "the boot entries of UEFI firmware", pkg("efibootmgr"), one, "efibootmgr"),
	rows("system", false, "PCI devices", pkg("pciutils"), nil, "lspci", "setpci"),
	rows("system", false, "USB devices", pkg("usbutils"), one, "lsusb"),
	rows("system", false, "DMI tables", pkg("dmidecode"), one, "dmidecode"),
	rows("system", false, "system calls of a program", pkg("strace"), one, "strace"),
	rows("system", false, "keyboard maps", pkg("kbd"), one, "loadkeys", "setfont", "dumpkeys", "chvt", "kbd_mode"),
	rows("system", false, "names of users", pkg("libc-bin", "glibc-common", "glibc", "glibc"), nil, "getent", "ldd"),
	rows("system", false, "terminals", pkg("ncurses-bin", "ncurses"), one, "clear", "reset", "tput", "infocmp"),
)

var manualTable = slices.Concat(
	rows("manual", false, "showing manual pages", pkg("groff-base", "groff-base", "groff", "groff"), nil, "groff", "troff", "grotty", "tbl", "preconv"),
)
