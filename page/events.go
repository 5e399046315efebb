package page

import (
	"reflect"
	"slices"

	"github.com/ktaudit/ktaudit/page/summary"
)

type epochEvent struct {
	Namespace string `json:"namespace"`
	summary.Epoch
}

// tell sends what is new since the snapshot before.
func (p *Page) tell(before, now *snapshot) {
	if before == nil {
		return
	}
	for _, l := range p.logs {
		name := l.log.Name
		was := before.newest[name]
		for _, e := range slices.Backward(now.newest[name]) {
			if was != nil && (len(was) == 0 || e.Epoch > was[0].Epoch) {
				p.hub.Send("epoch", epochEvent{name, e})
			}
		}
		for _, i := range now.open[name] {
			known := slices.ContainsFunc(before.open[name], func(o incidentView) bool { return o.Name == i.Name })
			if !known && before.states[name].Head+before.states[name].Newest > 0 {
				p.hub.Send("incident", i)
			}
		}
		if !reflect.DeepEqual(before.states[name], now.states[name]) {
			p.hub.Send("log", now.states[name])
		}
	}
}
