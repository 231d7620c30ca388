package plan

import (
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Measures of the picture, in the units of its viewBox.
const (
	svgWidth  = 960
	svgMargin = 20
	svgGap    = 24 // between now and after
	svgHalf   = (svgWidth - 2*svgMargin - svgGap) / 2
	svgBar    = 40 // height of a bar
	svgLine   = 18 // height of a line of text
	svgChars  = 62 // of the small font that fit into a half, behind the swatch
)

// svgColours are told apart also by those who do not see all colours (Okabe
// and Ito); each partition has its number and its line besides.
var svgColours = map[Use]string{
	UseFree: "#f4f4f4", UseBoot: "#f0e442", UseFiles: "#56b4e9", UseSwap: "#bbbbbb",
	UseLVM: "#5cc8a2", UseArray: "#cc79a7", UseCrypt: "#e69f00", UseUnknown: "#ffffff",
}

// SVG writes the disks of the plan as a picture: each as it is, which is what
// will be lost, beside what it will be. It stands for itself: nothing is
// loaded from elsewhere, and no script is in it. A plan for a single file
// system has no such picture; then nothing is written.
func SVG(w io.Writer, p Plan) error {
	pictures := p.Pictures()
	if len(pictures) == 0 {
		return nil
	}
	var body strings.Builder
	y := svgMargin
	for _, pic := range pictures {
		y += svgLine
		svgText(&body, svgMargin, y, `font-size="16" font-weight="bold"`, diskText(pic.Disk))
		y += 8
		left := svgSide(&body, svgMargin, y, "Now: will be lost", pic.Now)
		right := svgSide(&body, svgMargin+svgHalf+svgGap, y, "After", pic.After)
		y = max(left, right) + svgMargin
	}
	title := fmt.Sprintf("The disks of %s, now and after", p.Host)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13" fill="#111111" role="img">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#ffffff"/>
%s</svg>
`, svgWidth, y, svgWidth, y, svgEscape(title), body.String())
	return err
}

// svgSide draws one half: title, bar, and a line or more for each segment. It
// returns where it ends.
func svgSide(out *strings.Builder, x, y int, title string, list []Segment) int {
	y += svgLine
	svgText(out, x, y, "", title)
	y += 6
	if len(list) == 0 {
		svgText(out, x, y+svgLine, "", "not seen")
		return y + svgLine
	}
	list = visible(list)
	svgSegments(out, x, y, list)
	y += svgBar + 4
	for _, s := range list {
		for i, line := range hang(s.text(), svgChars, 0) {
			y += svgLine
			if i == 0 {
				fmt.Fprintf(out, `<rect x="%d" y="%d" width="12" height="12" fill="%s" stroke="#333333"/>`+"\n", x, y-11, svgColours[s.Use])
			}
			svgText(out, x+20, y, "", line)
		}
	}
	return y
}

// svgSegments draws the bar. A partition that is too small for the scale is as
// wide as its number needs.
func svgSegments(out *strings.Builder, x, y int, list []Segment) {
	widths := share(list, svgHalf, func(s Segment) int {
		if s.Use == UseFree {
			return 1
		}
		return 10 + 8*len(strconv.Itoa(s.Number))
	})
	if widths == nil {
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#333333"/>`+"\n", x, y, svgHalf, svgBar)
		svgText(out, x+8, y+svgBar/2+5, "", "too many partitions to be drawn")
		return
	}
	for i, s := range list {
		dash := ""
		if s.Use == UseFree {
			dash = ` stroke-dasharray="3 3"`
		}
		fmt.Fprintf(out, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" fill="%s" stroke="#333333"%s/>`,
			svgEscape(s.text()), x, y, widths[i], svgBar, svgColours[s.Use], dash)
		label := ""
		if s.Number > 0 {
			label = strconv.Itoa(s.Number)
			if long := label + ": " + s.Holds; utf8.RuneCountInString(long)*8+10 <= widths[i] {
				label = long
			}
		}
		if label != "" {
			svgText(out, x+5, y+svgBar/2+5, "", label)
		}
		out.WriteString("</g>\n")
		x += widths[i]
	}
}

func svgText(out *strings.Builder, x, y int, attrs, text string) {
	if attrs != "" {
		attrs = " " + attrs
	}
	fmt.Fprintf(out, `<text x="%d" y="%d"%s>%s</text>`+"\n", x, y, attrs, svgEscape(text))
}

func svgEscape(s string) string { return html.EscapeString(harmless(s)) }
