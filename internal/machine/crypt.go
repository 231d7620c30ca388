package machine

// Crypt is an encrypted device that was open when it was recorded (LUKS1 or
// LUKS2, cryptsetup(8)). What is in it is on "luks:NAME".
type Crypt struct {
	Name       string `json:"name"`    // of the mapping: /dev/mapper/NAME
	On         Ref    `json:"on"`      // the device with the header
	Version    int    `json:"version"` // 1 or 2
	UUID       string `json:"uuid"`
	Label      string `json:"label,omitempty"`
	Subsystem  string `json:"subsystem,omitempty"`
	Cipher     string `json:"cipher"`   // aes-xts-plain64
	KeyBits    int    `json:"key_bits"` // of the volume key: 512 for XTS with AES-256
	SectorSize Bytes  `json:"sector_size,omitempty"`
	// Offset is where the data begins; Size is that of the mapping.
	Offset Bytes `json:"offset"`
	Size   Bytes `json:"size"`
	// KDF is how the pass phrase of the first key slot becomes a key.
	KDF KDF `json:"kdf"`
	// Slots is how many key slots are in use, Tokens are the kinds of tokens
	// ("systemd-tpm2", "clevis"): what only a copy of the header brings back.
	Slots  int      `json:"slots"`
	Tokens []string `json:"tokens,omitempty"`
	// Flags are persistent activation flags: "allow-discards" ...
	Flags []string `json:"flags,omitempty"`
	// Header names the copy of the header within the backup; "" where none was
	// asked for.
	Header string `json:"header,omitempty"`
}

// KDF is a key derivation function with its cost.
type KDF struct {
	Kind       string `json:"kind"`                 // pbkdf2, argon2i, argon2id
	Hash       string `json:"hash,omitempty"`       // of pbkdf2; with argon2 that of the key slot's splitter
	Iterations int    `json:"iterations,omitempty"` // pbkdf2: iterations; argon2: time cost
	Memory     int    `json:"memory,omitempty"`     // KiB, argon2
	Threads    int    `json:"threads,omitempty"`    // argon2
}
