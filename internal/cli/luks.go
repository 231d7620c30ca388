package cli

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/machine"
	"github.com/mkcdrec/mkcdrec/internal/restore"
)

// luks copies the headers of encrypted devices where that was asked for, and
// says what a restore will ask for.
func (j *job) luks(ctx context.Context) error {
	if len(j.f.only) > 0 || len(j.m.Crypts) == 0 {
		return nil
	}
	copied := j.f.luksHeaders || j.settings.LUKSHeaders
	j.ui.Event("luks", map[string]any{"devices": j.m.Crypts, "headers_copied": copied})
	if !copied {
		for _, text := range backup.NewKeys(j.m) {
			j.ui.Say("    note: %s; --luks-headers puts a copy of the header into the backup", text)
		}
		return nil
	}
	var names []string
	for _, c := range j.m.Crypts {
		names = append(names, c.Name)
	}
	j.ui.Say("    note: the headers of %s go into the backup, which is not encrypted: whoever has it, and a pass phrase that is valid now,", strings.Join(names, ", "))
	j.ui.Say("          can open the disk even after that pass phrase was changed. Keep it as you keep the keys.")
	if j.f.plan {
		return nil
	}
	var err error
	j.headers, err = backup.LUKSHeaders(ctx, j.host, &j.m)
	return err
}

// answersOpen refuses an answer file that has no key for an encrypted device:
// nobody is there to be asked.
func answersOpen(m machine.Machine, file string) error {
	if file == "" || len(m.Crypts) == 0 {
		return nil
	}
	ans, err := restore.ReadAnswers(file)
	if err != nil {
		return err
	}
	for _, c := range m.Crypts {
		if ans.Keys.For(c.Name) == "" {
			return fail.Hint(fail.New(fail.Usage, "%s names no key file for the encrypted device %s: an unattended restore cannot ask for a pass phrase", file, c.Name),
				`write luks_key = "FILE" or "FILE:LABEL=L" for a file on another device; it must not be on the medium`)
		}
	}
	return nil
}

// luksKeyUsage is what --luks-key says of itself.
const luksKeyUsage = "`[NAME=]FILE` that opens encrypted devices, or this one; FILE:LABEL=L on another device (default: ask)"

// tries is how often a pass phrase is asked for.
const tries = 3

// keys gets what opens the encrypted devices of a plan: from key files, or
// typed. What has to open the recorded header is tried.
func (a *app) keys(ctx context.Context, o restore.Options, files restore.KeyFiles, unattended bool) (map[string]restore.Key, error) {
	out := map[string]restore.Key{}
	for _, c := range restore.Crypts(o.Plan) {
		var err error
		switch file := files.For(c.Name); {
		case file != "":
			a.ui.Step("Reading the key of %s from %s", c.Name, file)
			out[c.Name], err = restore.KeyFromFile(ctx, o, c, file)
		case unattended:
			err = fail.Hint(fail.New(fail.Usage, "the answers name no key file for the encrypted device %s", c.Name), `write luks_key = "FILE"`)
		default:
			out[c.Name], err = a.askKey(ctx, o, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// askKey asks for a pass phrase: once where it has to open the recorded
// header, twice for a new one.
func (a *app) askKey(ctx context.Context, o restore.Options, c machine.Crypt) (restore.Key, error) {
	if c.Header == "" {
		a.ui.Say("The encrypted device %s gets a new header. Its new pass phrase is what you will type at every start.", c.Name)
	}
	var wrong error
	for range tries {
		typed, err := a.ui.AskSecret("Pass phrase of " + c.Name + ":")
		if err != nil {
			return restore.Key{}, err
		}
		key := restore.Key{Bytes: typed}
		switch {
		case len(typed) == 0:
			wrong = fail.New(fail.Refused, "an empty pass phrase for %s", c.Name)
		case c.Header != "":
			wrong = restore.TestKey(ctx, o, c, key)
			if key.Tested = wrong == nil; key.Tested {
				return key, nil
			}
			if fail.KindOf(wrong) != fail.WrongKey {
				return key, wrong
			}
		default:
			again, err := a.ui.AskSecret("The same once more:")
			if err != nil {
				return key, err
			}
			if bytes.Equal(typed, again) {
				return key, nil
			}
			wrong = fail.New(fail.Refused, "the two pass phrases for %s differ", c.Name)
		}
		a.ui.Warn("%v", wrong)
	}
	return restore.Key{}, wrong
}

// unlock opens an encrypted device that is here, by its key file or a pass
// phrase that is asked for.
func (a *app) unlock(ctx context.Context, here machine.Machine, c machine.Crypt, files restore.KeyFiles, unattended bool) error {
	if file := files.For(c.Name); file != "" {
		a.ui.Step("Opening the encrypted device %s by %s", c.Name, file)
		key, err := restore.ReadKey(ctx, a.host, file)
		if err != nil {
			return err
		}
		err = restore.Unlock(ctx, a.host, here, c, key)
		if typed, isText := key.Typed(); fail.KindOf(err) == fail.WrongKey && isText {
			err = restore.Unlock(ctx, a.host, here, c, typed)
		}
		return err
	}
	if unattended {
		return fail.Hint(fail.New(fail.Usage, "the answers name no key file for the encrypted device %s", c.Name), `write luks_key = "FILE"`)
	}
	a.ui.Say("It lies on the encrypted device %s, which is not open.", c.Name)
	var wrong error
	for range tries {
		typed, err := a.ui.AskSecret("Pass phrase of " + c.Name + ":")
		if err != nil {
			return err
		}
		wrong = fail.New(fail.WrongKey, "an empty pass phrase for %s", c.Name)
		if len(typed) > 0 {
			wrong = restore.Unlock(ctx, a.host, here, c, restore.Key{Bytes: typed})
		}
		if fail.KindOf(wrong) != fail.WrongKey || wrong == nil {
			return wrong
		}
		a.ui.Warn("%v", wrong)
	}
	return wrong
}

// keyDisks are the disks that hold the key files: they are never overwritten.
func keyDisks(here machine.Machine, files restore.KeyFiles) []string {
	var out []string
	for _, spec := range files {
		_, device, ok := strings.Cut(spec, ":")
		if !ok {
			continue
		}
		kind, value, _ := strings.Cut(device, "=")
		for _, fs := range here.FileSystems {
			dev, err := here.Resolve(fs.On)
			if err != nil || !(kind == "LABEL" && fs.Label == value || kind == "UUID" && strings.EqualFold(fs.UUID, value) || dev.Path == device) {
				continue
			}
			for _, d := range here.DisksUnder(fs.On) {
				out = append(out, d.Name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
