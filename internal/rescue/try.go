package rescue

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/system"
)

// tryTimeout is how long one program may take to say its version, on a slow machine.
const tryTimeout = 30 * time.Second

// broken says why a program did not run, or nil. Its exit code as such says
// nothing (tools without a version option print their usage and fail); the
// codes of a program that could not be started do: 126 and 127 (the dynamic
// linker ends with 127 when a library is missing), and a signal.
func broken(err error) error {
	var ee *system.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ee):
		for _, s := range []string{"error while loading shared libraries", "symbol lookup error", "cannot open shared object"} {
			if strings.Contains(ee.Stderr, s) {
				return err
			}
		}
		if ee.ExitCode == 126 || ee.ExitCode == 127 || ee.ExitCode < 0 {
			return err
		}
		return nil
	}
	return err
}

// try runs every program once in a root directory that holds what the rescue
// system will hold, so that a missing library is found now. A program that is
// needed and does not run is an error; another one is returned by name.
func try(ctx context.Context, r system.Runner, root string, programs []Installed, progress func(done, total int)) (left map[string]error, err error) {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		done int
		errs []error
		jobs = make(chan Installed)
	)
	left = map[string]error{}
	for range max(2, runtime.NumCPU()) {
		wg.Go(func() {
			for p := range jobs {
				args := p.Args()
				if p.Applet {
					args = []string{"--help"}
				}
				one, cancel := context.WithTimeout(ctx, tryTimeout)
				_, err := r.Run(one, system.Command{Name: p.Path, Args: args, Chroot: root, Dir: "/", Stdin: strings.NewReader("")})
				cancel()
				err = broken(err)
				mu.Lock()
				done++
				progress(done, len(programs))
				if err != nil && p.Needed {
					errs = append(errs, err)
				} else if err != nil {
					left[p.Path] = err
				}
				mu.Unlock()
			}
		})
	}
	for _, p := range programs {
		if p.NoCheck == "" {
			jobs <- p
		}
	}
	close(jobs)
	wg.Wait()
	if ctx.Err() != nil {
		return left, ctx.Err()
	}
	if err := errors.Join(errs...); err != nil {
		return left, fail.New(fail.Unsupported, "cannot make a rescue system: a program it needs does not run in it: %w", err)
	}
	return left, nil
}

// tryPrograms stages the programs with their libraries and tries them. One
// that is optional and does not run is left out, with a warning that names it.
func (c *Contents) tryPrograms(ctx context.Context, r system.Runner, root string, progress func(done, total int)) error {
	var entries []*Entry
	for _, e := range c.Tree.Entries() {
		if !strings.Contains(e.Path, "/lib/modules/") && !strings.Contains(e.Path, "/lib/firmware/") && !strings.HasPrefix(e.Path, manDir) && e.Path != BinaryPath {
			entries = append(entries, e)
		}
	}
	if err := stageEntries(root, entries); err != nil {
		return err
	}
	cache := c.ldconfig(ctx, r, root)
	left, err := try(ctx, r, root, c.Programs, progress)
	if err != nil {
		return err
	}
	if cache != nil {
		c.Tree.AddData("/etc/ld.so.cache", 0o644, cache)
	}
	var kept []Installed
	for _, p := range c.Programs {
		if why, bad := left[p.Path]; bad {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is left out, it does not run in the rescue system: %v", p.Name, why))
			c.Tree.Remove(c.Tree.place(p.Path))
			continue
		}
		kept = append(kept, p)
	}
	c.Programs = kept
	return nil
}
