package identity

import (
	"slices"
	"strings"
)

// generic are the mount options that every file system takes (mount(8),
// systemd.mount(5)).
const generic = `defaults ro rw atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime
	suid nosuid dev nodev exec noexec sync async dirsync auto noauto user nouser users owner group silent loud mand nomand
	_netdev nofail comment iversion noiversion symfollow nosymfollow remount bind rbind
	context fscontext defcontext rootcontext`

// special are the options of single kinds (ext4(5), xfs(5), btrfs(5)). Those
// with a meaning for another layout (journals, subvolumes, stripes, quotas) are
// not among them: the new file system has nothing of the kind.
var special = map[string]string{
	"ext4": `acl noacl user_xattr nouser_xattr data barrier nobarrier commit errors discard nodiscard delalloc nodelalloc
		journal_checksum nojournal_checksum block_validity noblock_validity init_itable noinit_itable auto_da_alloc noauto_da_alloc
		dioread_lock dioread_nolock max_batch_time min_batch_time journal_ioprio minixdf bsddf grpid nogrpid bsdgroups sysvgroups dax`,
	"xfs": `discard nodiscard inode64 inode32 largeio nolargeio logbufs logbsize allocsize swalloc wsync filestreams ikeep noikeep
		attr2 noattr2 grpid nogrpid bsdgroups sysvgroups dax noquota`,
	"btrfs": `acl noacl autodefrag noautodefrag barrier nobarrier commit compress compress-force datacow nodatacow datasum nodatasum
		discard nodiscard enospc_debug flushoncommit noflushoncommit max_inline space_cache nospace_cache ssd nossd ssd_spread
		nossd_spread thread_pool treelog notreelog`,
}

// Known says whether a mount option is one that a kind of file system takes.
// Values that only one kind has, such as data=journal, go by the option's name.
func Known(kind, option string) bool {
	key, value, _ := strings.Cut(option, "=")
	if strings.HasPrefix(key, "x-") || strings.HasPrefix(key, "X-") || slices.Contains(strings.Fields(generic), key) {
		return true
	}
	if key == "discard" && value != "" {
		return kind == "btrfs" // discard=async
	}
	return slices.Contains(strings.Fields(special[kind]), key)
}
