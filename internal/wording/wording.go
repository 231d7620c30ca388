// Package wording writes numbers the way they stand in sentences for people,
// the same in every room. What the sentences are is the rooms' business.
package wording

import "fmt"

// Count writes a number with its noun, which takes an s: "1 disk", "2 disks".
func Count[N ~int | ~int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
