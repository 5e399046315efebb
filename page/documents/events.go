package documents

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// maxKept is how many events are kept for visitors who lost their connection.
	maxKept = 256
	// streamAhead is how many events a slow reader may be behind before it is dropped: it comes
	// again, and gets what is kept.
	streamAhead = 64
	// heartbeat is how often a stream shows that it is alive, streamTimeout how long a write may
	// take.
	heartbeat, streamTimeout = 15 * time.Second, 10 * time.Second
)

// event is a server-sent event.
type event struct {
	id   uint64
	name string
	data []byte
}

func (e event) bytes() []byte {
	return fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.id, e.name, e.data)
}

// Hub passes events on to those who follow them.
type Hub struct {
	mu     sync.Mutex
	limit  int
	last   uint64
	kept   []event
	to     map[chan event]bool
	closed bool
}

// NewHub has so many follow at once at most.
func NewHub(limit int) *Hub {
	// Numbers go on from the clock, so that after a restart none comes again.
	return &Hub{limit: limit, last: uint64(time.Now().UnixMilli()), to: map[chan event]bool{}}
}

// follow returns a stream of events, which is closed for a reader that is too slow, and those that
// are kept after one; nil if as many follow as may.
func (h *Hub) follow(after uint64) (stream chan event, missed []event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.to) >= h.limit {
		return nil, nil
	}
	stream = make(chan event, streamAhead)
	h.to[stream] = true
	if after > 0 {
		for _, e := range h.kept {
			if e.id > after {
				missed = append(missed, e)
			}
		}
	}
	return stream, missed
}

func (h *Hub) leave(stream chan event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(stream)
}

func (h *Hub) drop(stream chan event) {
	if h.to[stream] {
		delete(h.to, stream)
		close(stream)
	}
}

// Close ends all streams.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for stream := range h.to {
		h.drop(stream)
	}
}

// Send passes an event on to all who follow, without waiting for any.
func (h *Hub) Send(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return // there is nothing in it that cannot be
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e := event{h.last, name, data}
	h.kept = append(h.kept, e)
	h.kept = h.kept[max(len(h.kept)-maxKept, 0):]
	for stream := range h.to {
		select {
		case stream <- e:
		default:
			h.drop(stream)
		}
	}
}

// Serve streams events for as long as the visitor stays, and returns the status of the answer.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request) int {
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	stream, missed := h.follow(after)
	if stream == nil {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "as many visitors follow the events as may: ask for log.json again and again instead", http.StatusServiceUnavailable)
		return http.StatusServiceUnavailable
	}
	defer h.leave(stream)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	write := func(data []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(streamTimeout))
		_, err := w.Write(data)
		return err == nil && control.Flush() == nil
	}
	if !write([]byte("retry: 5000\n: ktaudit\n\n")) {
		return http.StatusOK
	}
	for _, e := range missed {
		if !write(e.bytes()) {
			return http.StatusOK
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return http.StatusOK
		case e, ok := <-stream:
			if !ok || !write(e.bytes()) {
				return http.StatusOK
			}
		case <-beat.C:
			if !write([]byte(": still here\n\n")) {
				return http.StatusOK
			}
		}
	}
}
