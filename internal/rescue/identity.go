// Package rescue puts together the rescue system: kernel, modules, firmware,
// programs with their libraries, manual pages, as one initramfs. It is not the
// life inside it (rescueinit), nor what boots it (medium).
package rescue

import (
	"time"

	"github.com/mkcdrec/mkcdrec/internal/machine"
)

// IdentityPath is where a rescue system finds out whose it is.
const IdentityPath = "/etc/mkcdrec/rescue.json"

// Identity is what the rescue system knows of itself: written into the
// initramfs while building, read by rescueinit and by restore. It holds no secret.
type Identity struct {
	Version   int       `json:"version"`
	MediumID  string    `json:"medium_id"` // 8 hex digits; the ISO's volume label is "MKCDREC_" + MediumID in upper case
	Made      time.Time `json:"made"`
	Host      string    `json:"host"`
	OS        string    `json:"os"`
	Kernel    string    `json:"kernel"`
	BackupID  string    `json:"backup_id,omitempty"`  // "" on a medium without backup of its own
	BackupURL string    `json:"backup_url,omitempty"` // where it is when not on the medium: file:///mnt/nas/backups
	// Only are the paths that the backup has; none: the whole machine, or no backup.
	Only []string `json:"only,omitempty"`
	// MemoryNeeded is what the rescue system needs to run.
	MemoryNeeded machine.Bytes   `json:"memory_needed"`
	Network      machine.Network `json:"network"`
	Settings     RescueSettings  `json:"settings"`
}

// RescueSettings are the settings that matter inside the rescue system.
type RescueSettings struct {
	AuthorizedKeys []string `json:"authorized_keys,omitempty"` // for root over ssh
	Keymap         string   `json:"keymap,omitempty"`
	Locale         string   `json:"locale,omitempty"` // LANG of its shells
	ConsoleLogin   bool     `json:"console_login"`    // false: a root shell on each console, the reason is in the banner
}
