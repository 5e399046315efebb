package witness

import (
	"encoding/json"
	"testing"
)

// FuzzState: whatever lies in the store, what is taken for the last tree is one that a proof can
// begin with, of the log that was asked for.
func FuzzState(f *testing.F) {
	const origin = "log.example"
	f.Add([]byte(`{"schema":1,"origin":"log.example","size":5,"root":"yPFA0nVVp4Kn5u40sWJWSMGpIO/IGbB5vSHKLdpohO4=","note":"log.example\n5\n"}`))
	f.Add([]byte(`{"schema":1,"origin":"log.example","size":1152921504606846977,"root":"yPFA0nVVp4Kn5u40sWJWSMGpIO/IGbB5vSHKLdpohO4="}`))
	f.Add([]byte(`{"schema":1,"origin":"log.example","size":5,"root":"yPFA","later":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(data, "a name", origin, 7)
		if err != nil {
			return
		}
		if s.Origin != origin || s.Size < 1 || s.Size > maxSize || s.generation != 7 {
			t.Errorf("%q reads as %+v", data, s)
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if read, err := decode(again, "a name", origin, 7); err != nil || read.Size != s.Size || read.Root != s.Root {
			t.Errorf("%q reads as %+v, and its canonical form as %+v, %v", data, s, read, err)
		}
	})
}
