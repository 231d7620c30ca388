// Command archive makes or unpacks a backup without a machine around it, so
// that bench/archive.sh can time it beside its peers. It prints the CPU time
// and the sizes; it is no way to make backups.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"syscall"

	"github.com/mkcdrec/mkcdrec/internal/archive"
	"github.com/mkcdrec/mkcdrec/internal/archive/zstdframe"
	"github.com/mkcdrec/mkcdrec/internal/backup"
	"github.com/mkcdrec/mkcdrec/internal/store/dir"
	"github.com/mkcdrec/mkcdrec/internal/unpack"
)

func main() {
	level := flag.Int("level", 3, "zstd level")
	workers := flag.Int("workers", 0, "workers; 0: one for each CPU")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: archive [flags] backup TREE STORE | extract STORE TREE | verify STORE -")
		os.Exit(2)
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
	}
	err := run(context.Background(), flag.Arg(0), flag.Arg(1), flag.Arg(2), *level, *workers)
	pprof.StopCPUProfile()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err == nil {
		fmt.Fprintf(os.Stderr, "  (%s; user %.1f s, system %.1f s, at most %d MiB)\n", zstdframe.Library,
			seconds(u.Utime), seconds(u.Stime), u.Maxrss>>10)
	}
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

func run(ctx context.Context, verb, from, to string, level, workers int) error {
	switch verb {
	case "backup":
		return makeBackup(ctx, from, to, level, workers)
	case "extract", "verify":
	default:
		return fmt.Errorf("verb %q is not known", verb)
	}
	st, err := dir.Open(from)
	if err != nil {
		return err
	}
	defer st.Close()
	b, err := archive.Open(ctx, st, "b")
	if err != nil {
		return err
	}
	defer b.Close()
	if verb == "verify" {
		_, err := b.Verify(ctx, nil)
		return err
	}
	rep, err := unpack.Run(ctx, b.Entries(ctx, archive.ReadOptions{Workers: workers}), to, unpack.Options{Workers: workers})
	if err == nil && len(rep.Problems) > 0 {
		err = fmt.Errorf("%d problems, the first: %s: %w", len(rep.Problems), rep.Problems[0].Path, rep.Problems[0].Err)
	}
	return err
}

func makeBackup(ctx context.Context, tree, to string, level, workers int) error {
	st, err := dir.Open(to)
	if err != nil {
		return err
	}
	defer st.Close()
	w, err := archive.NewWriter(ctx, st, archive.WriterOptions{Prefix: "b", BackupID: "bench", Level: level, Workers: workers, Tool: "bench"})
	if err != nil {
		return err
	}
	if err := backup.Walk(ctx, w, backup.WalkOptions{Root: tree}); err != nil {
		_ = w.Abort()
		return err
	}
	m, err := w.Close()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "  %d paths, %d bytes of content in %d bytes\n", m.Counts.Paths, m.Counts.Content, m.Counts.Stored)
	return nil
}
