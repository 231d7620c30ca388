package rescueinit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshdConfig lets root in by key and nobody by password. UsePAM no: the PAM
// stack of the recorded machine is not on board.
const sshdConfig = `Port 22
HostKey ` + runDir + `/ssh_host_ed25519_key
PidFile ` + runDir + `/sshd.pid
AuthorizedKeysFile /root/.ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
StrictModes no
SetEnv TERM=vt220 PATH=` + searchPath + `
Subsystem sftp internal-sftp
`

// startSSH starts sshd when the settings name keys. The host key is made at
// each boot: a key on the medium could be copied by whoever holds it.
func (r *rescuer) startSSH() {
	keys := r.snapshot().Identity.Settings.AuthorizedKeys
	if len(keys) == 0 {
		return
	}
	fingerprint, err := r.trySSH(keys)
	if err != nil {
		r.log.logf("no ssh: %v", err)
		r.update(func(s *status) { s.SSHNote = "not started: " + err.Error() })
		return
	}
	r.update(func(s *status) { s.HostKey = fingerprint })
	r.log.kmsg("sshd runs, host key %s", fingerprint)
	r.offerSSH()
}

func (r *rescuer) trySSH(keys []string) (fingerprint string, err error) {
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		return "", fmt.Errorf("there is no sshd on board")
	}
	fingerprint, err = makeHostKey(runDir + "/ssh_host_ed25519_key")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll("/root/.ssh", 0o700); err != nil {
		return "", fmt.Errorf("cannot keep the authorized keys: %w", err)
	}
	if err := os.WriteFile("/root/.ssh/authorized_keys", []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("cannot keep the authorized keys: %w", err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return "", fmt.Errorf("cannot make /run/sshd: %w", err)
	}
	config := runDir + "/sshd_config"
	if err := os.WriteFile(config, []byte(sshdConfig), 0o600); err != nil {
		return "", fmt.Errorf("cannot write %s: %w", config, err)
	}
	unlockRoot("/etc/shadow")
	if out, err := r.kids.output(20*time.Second, sshd, "-f", config); err != nil {
		return "", fmt.Errorf("sshd: %w: %s", err, strings.TrimSpace(out))
	}
	return fingerprint, nil
}

// makeHostKey writes a new ed25519 key and returns its fingerprint as ssh shows it.
func makeHostKey(path string) (string, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", fmt.Errorf("cannot make a host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "mkcdrec rescue system")
	if err != nil {
		return "", fmt.Errorf("cannot make a host key: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", fmt.Errorf("cannot write the host key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("cannot make a host key: %w", err)
	}
	return ssh.FingerprintSHA256(key), nil
}

// unlockRoot turns a locked password ("!...") of root into one that no
// password fits ("*"): sshd without PAM refuses a locked account its keys too.
func unlockRoot(shadow string) {
	b, err := os.ReadFile(shadow)
	if err != nil {
		return
	}
	if text := unlocked(string(b)); text != string(b) {
		_ = os.WriteFile(shadow, []byte(text), 0o600)
	}
}

func unlocked(shadow string) string {
	lines := strings.Split(shadow, "\n")
	for i, l := range lines {
		f := strings.Split(l, ":")
		if len(f) > 2 && f[0] == "root" && strings.HasPrefix(f[1], "!") {
			f[1] = "*"
			lines[i] = strings.Join(f, ":")
		}
	}
	return strings.Join(lines, "\n")
}

// offerSSH puts the command to type elsewhere into the banner, once there is both an sshd
// and an address.
func (r *rescuer) offerSSH() {
	a := firstAddress()
	r.update(func(s *status) {
		if s.HostKey != "" && a != "" {
			s.SSH = "ssh root@" + a
		}
	})
}
