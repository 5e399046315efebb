package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// The plot's size and margins, in its own units.
const (
	plotWidth, plotHeight = 760, 460
	plotLeft, plotRight   = 80, 190
	plotTop, plotBottom   = 40, 60
	colourText            = "#333"
	colourGrid            = "#ddd"
	colourFloor           = "#999"
)

var colours = []string{"#c0392b", "#1f6fb4", "#2e8b57", "#b8860b", "#7b4fa3"}

// point is an epoch: its elements and the seconds it took.
type point struct{ x, y float64 }

type curve struct {
	label  string
	colour string
	dashed bool
	points []point
}

// svg draws wall time against elements, both axes logarithmic: a cost that grows linearly is a line
// that climbs one decade in each.
func (r report) svg() []byte {
	curves := r.curves()
	x, y := axes(curves)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n",
		plotWidth, plotHeight, colourText)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="15">Time to verify an epoch, whole process</text>`+"\n", plotLeft)
	x.draw(func(p float64, label string) {
		line(&b, p, plotTop, p, plotHeight-plotBottom)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", p, plotHeight-plotBottom+18, label)
	}, func(v float64) string { return count(int(math.Round(v))) })
	y.draw(func(p float64, label string) {
		line(&b, plotLeft, p, plotWidth-plotRight, p)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-8, p+4, label)
	}, seconds)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">elements of the proof (inserted and unchanged)</text>`+"\n",
		(plotLeft+plotWidth-plotRight)/2, plotHeight-18)
	for i, c := range curves {
		c.draw(&b, x, y, i)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// curves are the contenders and the floor of ktaudit's own path.
func (r report) curves() []curve {
	var curves []curve
	for i := range r.sizes[0].rows {
		c := curve{label: r.sizes[0].rows[i].label, colour: colours[i%len(colours)]}
		for _, z := range r.sizes {
			c.points = append(c.points, point{float64(z.elements()), z.rows[i].wall.Seconds()})
		}
		curves = append(curves, c)
	}
	if f, ok := r.floor(r.sizes[0].rows[1].path); ok {
		c := curve{label: "floor (" + f.path + ")", colour: colourFloor, dashed: true}
		for _, z := range r.sizes {
			c.points = append(c.points, point{float64(z.elements()), f.time(z).Seconds()})
		}
		curves = append(curves, c)
	}
	return curves
}

func (c curve) draw(b *bytes.Buffer, x, y axis, row int) {
	dash := ""
	if c.dashed {
		dash = ` stroke-dasharray="6 4"`
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2"%s points="`, c.colour, dash)
	for _, p := range c.points {
		fmt.Fprintf(b, "%.1f,%.1f ", x.at(p.x), y.at(p.y))
	}
	b.WriteString(`"/>` + "\n")
	if !c.dashed {
		for _, p := range c.points {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x.at(p.x), y.at(p.y), c.colour)
		}
	}
	keyX, keyY := plotWidth-plotRight+14, plotTop+14+20*row
	fmt.Fprintf(b, `<path d="M%d %dh20" stroke="%s" stroke-width="2"%s/>`, keyX, keyY-4, c.colour, dash)
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text>`+"\n", keyX+26, keyY, html.EscapeString(c.label))
}

func line(b *bytes.Buffer, x1, y1, x2, y2 float64) {
	fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, colourGrid)
}

// axis maps whole decades onto a stretch of the plot.
type axis struct {
	low, high  int // powers of ten
	start, end float64
}

func axes(curves []curve) (x, y axis) {
	x = axis{low: math.MaxInt, high: math.MinInt, start: plotLeft, end: plotWidth - plotRight}
	y = axis{low: math.MaxInt, high: math.MinInt, start: plotHeight - plotBottom, end: plotTop}
	for _, c := range curves {
		for _, p := range c.points {
			x.include(p.x)
			y.include(p.y)
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
