package identity

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Card is a network card.
type Card struct {
	Name   string // of its interface
	MAC    string
	Driver string
}

// Replaced is a card that has taken the place of a recorded one.
type Replaced struct{ Was, Is Card }

// MatchCards says which card here has taken the place of a recorded one that is
// not here any more. It never guesses: where more than one answer is left, that
// is a warning.
func MatchCards(recorded, here []Card) (pairs []Replaced, warnings []string) {
	has := func(cards []Card, mac string) bool {
		return slices.ContainsFunc(cards, func(c Card) bool { return sameMAC(c.MAC, mac) })
	}
	var gone, fresh []Card
	for _, c := range recorded {
		shared := 0 // the members of a bond have its address
		for _, o := range recorded {
			if sameMAC(o.MAC, c.MAC) {
				shared++
			}
		}
		if c.MAC != "" && shared == 1 && !has(here, c.MAC) {
			gone = append(gone, c)
		}
	}
	for _, c := range here {
		if c.MAC != "" && !has(recorded, c.MAC) {
			fresh = append(fresh, c)
		}
	}
	if len(gone) == 1 && len(fresh) == 1 {
		return []Replaced{{gone[0], fresh[0]}}, nil
	}
	of := func(cards []Card, driver string) (out []Card) {
		for _, c := range cards {
			if c.Driver == driver && driver != "" {
				out = append(out, c)
			}
		}
		return out
	}
	var left []string
	for _, c := range gone {
		if g, f := of(gone, c.Driver), of(fresh, c.Driver); len(g) == 1 && len(f) == 1 {
			pairs = append(pairs, Replaced{c, f[0]})
		} else {
			left = append(left, c.Name+" ("+c.MAC+")")
		}
	}
	if len(left) > 0 && len(fresh) > 0 {
		var macs []string
		for _, c := range fresh {
			macs = append(macs, c.MAC)
		}
		warnings = append(warnings, fmt.Sprintf("the network cards %s are not here, and which of those here (%s) takes the place of which is not certain: their configuration was left as it was", strings.Join(left, ", "), strings.Join(macs, ", ")))
	}
	return pairs, warnings
}

// CardPatterns are the files that Cards wants to see, as path.Match patterns.
func CardPatterns() []string {
	return append([]string{"etc/udev/rules.d/*.rules", "etc/systemd/network/*.link", "etc/sysconfig/network-scripts/ifcfg-*", "etc/sysconfig/network/ifcfg-*", "etc/iftab"}, NetworkPatterns()...)
}

// setsAddress matches a line that gives a card an address, rather than knowing it by
// that: hwaddress of ifupdown, cloned-mac-address of NetworkManager, macaddress of
// netplan outside of match, MACADDR of ifcfg.
var setsAddress = regexp.MustCompile(`(?i)^\s*(hwaddress|cloned-mac-address|macaddr)\b`)

// linkSection says whether a line begins the section of a .network or .link file in
// which MACAddress= is set, not matched.
var linkSection = regexp.MustCompile(`^\s*\[(\w+)\]`)

// Cards gives the configuration of cards that were replaced the hardware addresses of
// those here. Whoever goes by a name has it still: where no file binds the recorded
// name to the card, a .link file does (systemd.link(5)).
func Cards(files []File, pairs []Replaced) (edits []Edit, made []File) {
	named := map[string]bool{} // addresses that a file binds to a name
	for _, f := range files {
		out := string(f.Content)
		var did []string
		for _, p := range pairs {
			now := exchange(out, p.Was.MAC, p.Is.MAC)
			if now != out {
				did = append(did, fmt.Sprintf("the card of %s is %s", p.Was.Name, strings.ToLower(p.Is.MAC)))
				binds := strings.HasSuffix(f.Name, ".rules") || strings.HasSuffix(f.Name, ".link") || strings.Contains(now, "set-name") || strings.HasSuffix(f.Name, "iftab")
				named[p.Is.MAC] = named[p.Is.MAC] || binds
			}
			out = now
		}
		if len(did) > 0 {
			edits = append(edits, Edit{File: File{f.Name, []byte(out)}, What: strings.Join(did, "; ")})
		}
	}
	for _, p := range pairs {
		if named[p.Is.MAC] || p.Was.Name == "" {
			continue
		}
		made = append(made, File{path.Join("etc/systemd/network", "10-mkcdrec-"+p.Was.Name+".link"), []byte(
			"# Made by mkcdrec when the machine was restored: this card has taken the place of\n# " + p.Was.MAC + ", and its configuration goes by the name.\n" +
				"[Match]\nMACAddress=" + strings.ToLower(p.Is.MAC) + "\n\n[Link]\nName=" + p.Was.Name + "\n")})
	}
	return edits, made
}

// exchange replaces an address by which a card is known; lines that set one stay.
func exchange(text, was, is string) string {
	mac := regexp.MustCompile(`(?i)\b` + strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(was)), ":", "[:-]") + `\b`)
	lines := strings.Split(text, "\n")
	section := ""
	for i, l := range lines {
		if m := linkSection.FindStringSubmatch(l); m != nil {
			section = m[1]
		}
		if setsAddress.MatchString(l) || section == "Link" && strings.Contains(l, "MACAddress") || strings.HasPrefix(strings.TrimSpace(l), "#") {
			continue
		}
		lines[i] = mac.ReplaceAllStringFunc(l, func(found string) string {
			out := strings.ToLower(is)
			if strings.ToUpper(found) == found && strings.ToLower(found) != found {
				out = strings.ToUpper(out)
			}
			if strings.Contains(found, "-") {
				out = strings.ReplaceAll(out, ":", "-")
			}
			return out
		})
	}
	return strings.Join(lines, "\n")
}
