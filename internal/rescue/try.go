package rescue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// tryTimeout is how long one program may take to say its version, on a slow machine.
const tryTimeout = 30 * time.Second

// complaints are what the dynamic linkers of glibc and musl, the shells and
// the interpreters say of what they do not find. A script around the program
// may swallow the exit code, but hardly the words.
var complaints = []string{
	"error while loading shared libraries", "cannot open shared object", "symbol lookup error", "' not found (required by ", " => not found",
	"Error loading shared library", "Error relocating ",
	"bad interpreter", "Can't locate ", "ModuleNotFoundError",
}

// broken says why a program did not run, or nil. Its exit code as such says
// nothing (tools without a version option print their usage and fail); the
// codes of a program that could not be started do: 126 and 127 (the dynamic
// linker ends with 127 when a library is missing), and a signal.
func broken(res system.Result, err error) error {
	for _, out := range [][]byte{res.Stderr, res.Stdout} {
		for line := range bytes.Lines(out) {
			if slices.ContainsFunc(complaints, func(s string) bool { return bytes.Contains(line, []byte(s)) }) {
				return fmt.Errorf("it says: %s", bytes.TrimSpace(line))
			}
		}
	}
	var ee *system.ExitError
	switch {
	case errors.Is(err, system.ErrNotFound):
		return fmt.Errorf("the file or the interpreter that it names is missing: %w", err)
	case !errors.As(err, &ee):
		return err
	case ee.ExitCode < 0:
		return fmt.Errorf("a signal ended it: %s", ee.Stderr)
	case ee.ExitCode == 126 || ee.ExitCode == 127:
		return fmt.Errorf("exit code %d: %s", ee.ExitCode, ee.Stderr)
	}
	return nil
}

// trial is how a program is started to see whether it can be. One whose
// arguments are not known is only loaded: the dynamic linker lists its
// libraries and does not start it (ld.so(8), --list). ok is false where there
// is nothing to start.
func (c *closure) trial(p Installed) (cmd system.Command, ok bool) {
	cmd = system.Command{Name: p.Path, Args: p.Args()}
	switch {
	case p.Applet:
		cmd.Args = []string{"--help"}
	case p.NoCheck != "":
		real, _, err := c.tree.Resolve(p.Path)
		if err != nil {
			break
		}
		o := c.object(real)
		if o == nil || o.interp == "" {
			return cmd, false // a script or a static program; closed has looked at it
		}
		cmd.Name, cmd.Args = o.interp, []string{"--list", p.Path}
	}
	return cmd, true
}

// try starts every program once in a root directory that holds what the
// rescue system will hold, so that a missing library is found now.
func try(ctx context.Context, r system.Runner, root string, programs []Installed, progress func(done, total int)) (bad map[string]error, err error) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		done int
		jobs = make(chan system.Command)
		name = map[string]string{} // of the command: the program's path
		todo []system.Command
	)
	cl := newClosure(NewTree(root))
	bad = map[string]error{}
	for _, p := range programs {
		if cmd, ok := cl.trial(p); ok {
			cmd.Chroot, cmd.Proc, cmd.Dir = root, true, "/"
			todo = append(todo, cmd)
			name[system.Quote(cmd)] = p.Path
		}
	}
	for range max(2, runtime.NumCPU()) {
		wg.Go(func() {
			for cmd := range jobs {
				one, cancel := context.WithTimeout(ctx, tryTimeout)
				cmd.Stdin = strings.NewReader("")
				err := broken(r.Run(one, cmd))
				cancel()
				mu.Lock()
				done++
				progress(done, len(todo))
				if err != nil {
					bad[name[system.Quote(cmd)]] = err
				}
				mu.Unlock()
			}
		})
	}
	for _, cmd := range todo {
		jobs <- cmd
	}
	close(jobs)
	wg.Wait()
	return bad, ctx.Err()
}

// closed looks at every program in a root directory as the kernel and the
// dynamic linker would: what it needs must be in there, too. The answer is by
// path. Libraries are looked at with the programs: where one finds what it
// needs depends on who loads it.
func closed(root string, entries []*Entry) map[string]error {
	cl := newClosure(NewTree(root))
	bad := map[string]error{}
	for _, e := range entries {
		if !e.Mode.IsRegular() || e.Mode&0o111 == 0 {
			continue
		}
		if o := cl.object(e.Path); o != nil && o.interp == "" {
			continue
		}
		if err := cl.Add(e.Path); err != nil {
			bad[e.Path] = err
		}
	}
	return bad
}

// tryPrograms stages the programs with their libraries in a directory and
// tries them, and the locale with them. Optional programs that do not run, and
// a locale that does not work, are returned, by path, with the reason; a
// program that is needed is an error.
func (c *Contents) tryPrograms(ctx context.Context, r system.Runner, root string, progress func(done, total int)) (left map[string]error, err error) {
	var entries []*Entry
	for _, e := range c.Tree.Entries() {
		if !strings.Contains(e.Path, "/lib/modules/") && !strings.Contains(e.Path, "/lib/firmware/") && !strings.HasPrefix(e.Path, manDir) && e.Path != BinaryPath {
			entries = append(entries, e)
		}
	}
	if err := stageEntries(root, entries); err != nil {
		return nil, err
	}
	if err := stageDevices(root); err != nil {
		return nil, err
	}
	cache := c.ldconfig(ctx, r, root)
	open := closed(root, entries)
	bad, err := try(ctx, r, root, c.Programs, progress)
	if err != nil {
		return nil, err
	}
	left = map[string]error{}
	var errs []error
	for _, p := range c.Programs {
		why := cmp.Or(open[p.Path], bad[p.Path])
		if real, _, err := NewTree(root).Resolve(p.Path); err == nil {
			why = cmp.Or(why, open[real])
			delete(open, real)
		}
		switch {
		case why == nil:
		case p.Needed:
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, why))
		default:
			left[p.Path] = why
		}
	}
	if why := c.tryLocale(ctx, r, root); why != nil {
		left[c.localeFrom] = why
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fail.New(fail.Unsupported, "cannot make a rescue system: a program it needs does not run in it: %w", err)
	}
	for _, e := range entries {
		if why := open[e.Path]; why != nil && c.closure.failed[e.Path] == nil {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s does not run in the rescue system: %v", e.Path, why))
		}
	}
	if cache != nil {
		c.Tree.AddData("/etc/ld.so.cache", 0o644, cache)
	}
	return left, nil
}

// stageDevices makes the devices that programs open while they are tried.
// The consoles are not among them: what is tried must not write there.
func stageDevices(root string) error {
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		return err
	}
	for _, d := range []struct {
		name  string
		minor uint32
	}{{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}} {
		if err := unix.Mknod(filepath.Join(root, "dev", d.name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, d.minor))); err != nil {
			return fmt.Errorf("cannot make %s for trying programs: %w", path.Join("/dev", d.name), err)
		}
	}
	return nil
}
