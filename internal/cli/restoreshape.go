package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mkcdrec/mkcdrec/internal/fail"
	"github.com/mkcdrec/mkcdrec/internal/fit"
)

// shapeFlags are the wishes about the number of disks.
func (f *restoreFlags) shapeFlags(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.flatten, "flatten", nil, "make RAID arrays, or only `=ARRAY`, as plain devices on one disk")
	c.Flags().Lookup("flatten").NoOptDefVal = fit.FlattenAll
	c.Flags().StringVar(&f.mirror, "mirror", "", "mirror a machine of one disk onto two, or onto this second `=DISK`")
	c.Flags().Lookup("mirror").NoOptDefVal = fit.MirrorAny
	c.Flags().BoolVar(&f.ontoOne, "onto-one", false, "lay the recorded disks together onto one")
}

// optionalValue says of a word behind a flag that may have a value, but need not,
// how it is written: it was taken for the name of a backup.
func optionalValue(args []string, f restoreFlags) error {
	if len(args) != 1 || strings.ContainsAny(args[0], "/:.") || fileExists(args[0]) {
		return nil
	}
	for flag, given := range map[string]bool{"flatten": slices.Equal(f.flatten, []string{fit.FlattenAll}), "mirror": f.mirror == fit.MirrorAny} {
		if given {
			return fail.Hint(fail.New(fail.Usage, "%s is no place of a backup", args[0]), "if it is what --%s is about, write it with an equals sign: --%s=%s", flag, flag, args[0])
		}
	}
	return nil
}
