// Package plot draws curves over two logarithmic axes: numbers of elements, and seconds.
package plot

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
)

// The plot's size and margins, in its own units.
const (
	plotWidth, plotHeight = 760, 460
	plotLeft, plotRight   = 80, 190
	plotTop, plotBottom   = 40, 60
	colourText            = "#333"
	colourGrid            = "#ddd"
	colourDashed          = "#999"
)

var colours = []string{"#c0392b", "#1f6fb4", "#2e8b57", "#b8860b", "#7b4fa3"}

// Point is a number of elements, X, and the seconds that they took. Both are above 0.
type Point struct{ X, Y float64 }

// Curve is a line through points, with a name in the key. A dashed one is grey.
type Curve struct {
	Label  string
	Dashed bool
	Points []Point
}

// SVG draws the curves: a cost that grows linearly is a line that climbs one decade in each
// direction.
func SVG(title, elements string, curves []Curve) []byte {
	x, y := axes(curves)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n",
		plotWidth, plotHeight, colourText)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="15">%s</text>`+"\n", plotLeft, html.EscapeString(title))
	x.draw(func(p float64, label string) {
		line(&b, p, plotTop, p, plotHeight-plotBottom)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", p, plotHeight-plotBottom+18, label)
	}, thousands)
	y.draw(func(p float64, label string) {
		line(&b, plotLeft, p, plotWidth-plotRight, p)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-8, p+4, label)
	}, seconds)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
		(plotLeft+plotWidth-plotRight)/2, plotHeight-18, html.EscapeString(elements))
	for i, c := range curves {
		c.draw(&b, x, y, i)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (c Curve) draw(b *bytes.Buffer, x, y axis, row int) {
	colour, dash := colours[row%len(colours)], ""
	if c.Dashed {
		colour, dash = colourDashed, ` stroke-dasharray="6 4"`
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2"%s points="`, colour, dash)
	for _, p := range c.Points {
		fmt.Fprintf(b, "%.1f,%.1f ", x.at(p.X), y.at(p.Y))
	}
	b.WriteString(`"/>` + "\n")
	if !c.Dashed {
		for _, p := range c.Points {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(p.X), y.at(p.Y), colour)
		}
	}
	keyX, keyY := plotWidth-plotRight+14, plotTop+14+20*row
	fmt.Fprintf(b, `<path d="M%d %dh20" stroke="%s" stroke-width="2"%s/>`, keyX, keyY-4, colour, dash)
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", keyX+26, keyY, html.EscapeString(c.Label))
}

func line(b *bytes.Buffer, x1, y1, x2, y2 float64) {
	fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, colourGrid)
}

// axis maps whole decades onto a stretch of the plot.
type axis struct {
	low, high  int // powers of ten
	start, end float64
}

func axes(curves []Curve) (x, y axis) {
	x = axis{low: math.MaxInt, high: math.MinInt, start: plotLeft, end: plotWidth - plotRight}
	y = axis{low: math.MaxInt, high: math.MinInt, start: plotHeight - plotBottom, end: plotTop}
	for _, c := range curves {
		for _, p := range c.Points {
			x.include(p.X)
			y.include(p.Y)
		}
	}
	return x, y
}

func (a *axis) include(v float64) {
	a.low = min(a.low, int(math.Floor(math.Log10(v))))
	a.high = max(a.high, int(math.Ceil(math.Log10(v))), a.low+1)
}

func (a axis) at(v float64) float64 {
	return a.start + (a.end-a.start)*(math.Log10(v)-float64(a.low))/float64(a.high-a.low)
}

func (a axis) draw(tick func(at float64, label string), label func(float64) string) {
	for power := a.low; power <= a.high; power++ {
		v := math.Pow10(power)
		tick(a.at(v), label(v))
	}
}

// thousands is a power of ten of at least 1 with commas.
func thousands(v float64) string {
	text := strconv.Itoa(int(math.Round(v)))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func seconds(v float64) string {
	switch {
	case v >= 1:
		return fmt.Sprintf("%.0f s", v)
	case v >= 1e-3:
		return fmt.Sprintf("%.0f ms", v*1e3)
	case v >= 1e-6:
		return fmt.Sprintf("%.0f µs", v*1e6)
	}
	return fmt.Sprintf("%.0f ns", v*1e9)
}
