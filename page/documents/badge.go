package documents

import "fmt"

// Badge shows a log's state in a line, for other pages.
func Badge(state string, head uint64) *Document {
	color, text := map[string]string{"good": "#1a7f37", "warning": "#9a6700", "wrong": "#b42318"}[state], "not known"
	switch state {
	case "good":
		text = fmt.Sprintf("verified up to %d", head)
	case "warning":
		text = fmt.Sprintf("verified up to %d, with warnings", head)
		if head == 0 {
			text = "with warnings"
		}
	case "wrong":
		text = "something is wrong"
	}
	if color == "" {
		color = "#57606a"
	}
	const label = 64
	width := 7*len(text) + 16
	return New("badge", TypeSVG, ForSeconds, fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="20" role="img" aria-label="ktaudit: %s">`+
		`<title>ktaudit: %s</title><rect width="%d" height="20" rx="3" fill="#24292f"/><rect x="%d" width="%d" height="20" rx="3" fill="%s"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"><text x="8" y="14">ktaudit</text><text x="%d" y="14">%s</text></g></svg>`+"\n",
		label+width, text, text, label+width, label, width, color, label+8, text))
}
