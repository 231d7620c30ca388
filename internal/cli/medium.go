package cli

import (
	"context"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/mkcdrec/mkcdrec/internal/rescueinit"
	"github.com/mkcdrec/mkcdrec/internal/ui"
)

// mediumPatience is how long a restore waits for the medium that it was
// started from. A slow bus or a busy machine shows it after the prompt.
const mediumPatience = time.Minute

// mediumFound says whether the rescue system has mounted a medium, whatever is
// on it.
func mediumFound() bool {
	found, err := mountinfo.Mounted(rescueinit.MediumDir)
	return err == nil && found
}

// awaitMedium waits until the medium is there and says whether it is: without
// it there is no backup, or it is not known which disk must not be erased.
func (a *app) awaitMedium(ctx context.Context, there func() bool, patience time.Duration) bool {
	if there() {
		return true
	}
	a.ui.Say("The medium has not appeared yet; waiting for it, at most %s (Ctrl-C ends that)", ui.Duration(patience))
	end := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-end:
			return there()
		case <-tick.C:
			if there() {
				return true
			}
		}
	}
}
