package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// netplan rewrites a file below /etc/netplan (netplan's YAML reference). It
// works on the tree of nodes, so that comments, order and quoting stay; what
// was written is read again and must say what was meant.
func netplan(f File, w wish) (result, error) {
	doc, err := readYAML(f.Content)
	if err != nil || doc == nil {
		return result{out: f.Content}, err
	}
	e := netplanEdit{wish: w}
	e.out = f.Content
	network := child(doc.Content[0], "network")
	if network == nil || network.Kind != yaml.MappingNode {
		return e.result, nil
	}
	for i := 0; i+1 < len(network.Content); i += 2 {
		section, defs := network.Content[i].Value, network.Content[i+1]
		if defs.Kind != yaml.MappingNode {
			continue // version, renderer
		}
		for k := 0; k+1 < len(defs.Content); k += 2 {
			if err := e.definition(section, defs.Content[k].Value, defs.Content[k+1]); err != nil {
				return result{out: f.Content}, fmt.Errorf("%s: %w", defs.Content[k].Value, err)
			}
		}
	}
	if len(e.did) == 0 {
		return e.result, nil
	}
	e.out, err = writeYAML(doc)
	return e.result, err
}

type netplanEdit struct {
	result
	wish wish
}

// netplanLinks are the sections whose definitions may have DHCP; true: wired.
var netplanLinks = map[string]bool{"ethernets": true, "bonds": true, "bridges": true, "vlans": true, "wifis": false}

// definition rewrites what is said of one interface.
func (e *netplanEdit) definition(section, id string, def *yaml.Node) error {
	if def.Kind != yaml.MappingNode {
		return nil // "ens3:" with nothing in it
	}
	l := link{key: id, name: id}
	if match := child(def, "match"); match != nil && text(child(match, "name")) != "" {
		l.name = text(child(match, "name"))
	}
	if pass := child(child(def, "networkmanager"), "passthrough"); pass != nil && hasPrefix(pass, "ipv4.address", "ipv6.address") {
		e.warn("%s has a fixed address in a form for NetworkManager alone, which was not changed", l.name)
	}
	var known bool
	if l.wired, known = netplanLinks[section]; !known {
		if child(def, "addresses") != nil {
			e.warn("the fixed address of %s was not changed: it is no network card", id)
		}
		if child(def, "key") != nil || child(def, "keys") != nil {
			e.warn("the tunnel %s has the original's key", id)
		}
		return nil
	}
	e.pins(id, l, def)
	has4, has6, err := addressFamilies(child(def, "addresses"))
	if err != nil {
		return err
	}
	dhcp4, dhcp6 := yes(text(child(def, "dhcp4"))), yes(text(child(def, "dhcp6")))
	fixed := has4 || has6
	if !fixed && !dhcp4 && !dhcp6 {
		return nil
	}
	p := e.wish.part(len(e.links), id)
	e.links = append(e.links, l)
	if !fixed && !p.wanted4 && !p.wanted6 {
		return nil // by DHCP already
	}
	e.lost(l, lostRoutes(def))
	at := position(def, "addresses", "dhcp4", "dhcp6")
	var pairs []*yaml.Node
	for _, ip := range []struct {
		key         string
		was, wanted bool
	}{{"dhcp4", dhcp4 || has4, p.wanted4}, {"dhcp6", dhcp6 || has6, p.wanted6}} {
		if child(def, ip.key) != nil || ip.was && !ip.wanted {
			pairs = append(pairs, pair(ip.key, scalar(fmt.Sprint(ip.was && !ip.wanted)))...)
		}
	}
	remove(def, "addresses", "gateway4", "gateway6", "routes", "routing-policy", "dhcp4", "dhcp6")
	if has6 && !p.wanted6 && !yes(text(child(def, "accept-ra"))) {
		remove(def, "accept-ra") // switched off for the fixed address; without it DHCPv6 does not begin
	}
	if all := slices.Concat(p.v4, p.v6); len(all) > 0 {
		pairs = append(pairs, pair("addresses", list(all))...)
		if routes := defaultRoutes(p); routes != nil {
			pairs = append(pairs, pair("routes", routes)...)
		}
		e.set(l, p)
		e.several(l, e.wish)
	} else if p.wanted4 || p.wanted6 {
		e.do("addresses taken out: another file gives them to %s", l.name)
	} else {
		e.byDHCP(l)
	}
	at = min(at, len(def.Content))
	def.Content = slices.Insert(def.Content, at, pairs...)
	return nil
}

// pins takes out what belongs to the original's card, or is its own on the wire.
func (e *netplanEdit) pins(id string, l link, def *yaml.Node) {
	if mac := text(child(def, "macaddress")); hardware.MatchString(mac) {
		remove(def, "macaddress")
		e.do("hardware address of %s taken out", l.name)
	}
	if child(def, "ipv6-address-token") != nil {
		remove(def, "ipv6-address-token")
		e.do("fixed end of the IPv6 address of %s taken out", l.name)
	}
	match := child(def, "match")
	mac := text(child(match, "macaddress"))
	if !hardware.MatchString(mac) || !e.wish.stranger(mac) {
		return
	}
	// Without any match the definition is for the interface that has its name;
	// that is what set-name says, too.
	switch {
	case len(match.Content) > 2:
		remove(match, "macaddress")
	case text(child(def, "set-name")) == id:
		remove(def, "match", "set-name")
	default:
		e.warn("%s is for the card %s, which is not here; it was left so", id, mac)
		return
	}
	e.do("%s not bound to the card %s any more", l.name, mac)
}

// addressFamilies says of which family the addresses are: a list of strings,
// or of mappings with the address as their key.
func addressFamilies(list *yaml.Node) (has4, has6 bool, err error) {
	if list == nil {
		return false, false, nil
	}
	if list.Kind != yaml.SequenceNode {
		return false, false, errors.New("its addresses are not a list")
	}
	for _, n := range list.Content {
		if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
			n = n.Content[0]
		}
		if text(n) == "" {
			return false, false, errors.New("its addresses are not understood")
		}
		has4, has6 = has4 || !strings.Contains(n.Value, ":"), has6 || strings.Contains(n.Value, ":")
	}
	return has4, has6, nil
}

// lostRoutes are the routes and rules that are more than a default route.
func lostRoutes(def *yaml.Node) []string {
	var out []string
	for _, key := range []string{"routes", "routing-policy"} {
		all := child(def, key)
		if all == nil {
			continue
		}
		for _, n := range all.Content {
			to := text(child(n, "to"))
			if to == "" {
				to = text(child(n, "from"))
			}
			if !defaultRoute(to) {
				out = append(out, to)
			}
		}
	}
	return out
}

// defaultRoutes are the routes for the given gateway. 0.0.0.0/0 is understood
// by every version, "default" is not.
func defaultRoutes(p part) *yaml.Node {
	seq := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, g := range []struct{ to, via string }{{"0.0.0.0/0", p.gw4}, {"::/0", p.gw6}} {
		if g.via != "" {
			m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			m.Content = append(pair("to", scalar(g.to)), pair("via", scalar(g.via))...)
			seq.Content = append(seq.Content, m)
		}
	}
	if len(seq.Content) == 0 {
		return nil
	}
	return seq
}

// hasPrefix says whether a mapping has a key that begins so.
func hasPrefix(n *yaml.Node, prefixes ...string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		for _, p := range prefixes {
			if strings.HasPrefix(n.Content[i].Value, p) {
				return true
			}
		}
	}
	return false
}

// readYAML reads the one document of a file; nil where there is none. What
// cannot be changed without changing something else is an error.
func readYAML(content []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("it is not understood: %w", err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("it is not one YAML document")
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	return &doc, simple(&doc)
}

// simple refuses what a change in one place could spread to another.
func simple(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("line %d has an anchor or alias", n.Line)
	}
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if c.Kind != yaml.ScalarNode || c.Value == "<<" || seen[c.Value] {
				return fmt.Errorf("line %d has a key that is not simple, or there twice", c.Line)
			}
			seen[c.Value] = true
		}
		if err := simple(c); err != nil {
			return err
		}
	}
	return nil
}

// writeYAML writes the tree, and reads it again: an output that does not say
// the same is not used.
func writeYAML(doc *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(indent(doc))
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("it cannot be written: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("it cannot be written: %w", err)
	}
	again, err := readYAML(b.Bytes())
	if err != nil || again == nil || !equal(doc, again) {
		return nil, errors.New("it cannot be written so that it says the same")
	}
	return b.Bytes(), nil
}

// indent is how far the file indents: the column of the second level.
func indent(doc *yaml.Node) int {
	if top := doc.Content[0]; len(top.Content) > 1 && len(top.Content[1].Content) > 0 {
		if n := top.Content[1].Content[0].Column - 1; n >= 2 && n <= 8 {
			return n
		}
	}
	return 2
}

// equal compares what two trees say, not how they are written.
func equal(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, equal)
}

// child is the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// text is a scalar's value, or "".
func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// position is where the first of the keys is in a mapping's content, or its end.
func position(n *yaml.Node, keys ...string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if slices.Contains(keys, n.Content[i].Value) {
			return i
		}
	}
	return len(n.Content)
}

func remove(n *yaml.Node, keys ...string) {
	for i := 0; i+1 < len(n.Content); {
		if slices.Contains(keys, n.Content[i].Value) {
			n.Content = slices.Delete(n.Content, i, i+2)
			continue
		}
		i += 2
	}
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if strings.Contains(s, ":") {
		n.Style = yaml.DoubleQuotedStyle // YAML 1.1 reads some addresses as numbers to the base of 60
	}
	return n
}

func pair(key string, value *yaml.Node) []*yaml.Node { return []*yaml.Node{scalar(key), value} }

func list(values []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, v := range values {
		n.Content = append(n.Content, scalar(v))
	}
	return n
}
