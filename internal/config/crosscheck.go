package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ktaudit/ktaudit/internal/units"
)

// minCrossCheck keeps a typing mistake from becoming an attack on an auditor.
const minCrossCheck = 10 * time.Second

// CrossCheck is another auditor of a log.
type CrossCheck struct {
	// URL is the auditor's origin, Namespace the log's name there.
	URL       string `yaml:"url"`
	Namespace string `yaml:"namespace"`
	// VerifyingKeys are those that the auditor signs with. There is at least one: a key that it
	// names itself would let whoever answers in its place accuse.
	VerifyingKeys []VerifyingKey `yaml:"keys"`
	// Every is how often it is asked.
	Every time.Duration `yaml:"every"`
	// MaxLag is how far it may be behind the verdicts here before that is an alert, for
	// units.ParseLag; empty means as far as it likes.
	MaxLag string `yaml:"max_lag" zero:"never"`
}

// Keys are the auditor's keys for signature.ParseKeys.
func (x CrossCheck) Keys() []string { return keyTexts(x.VerifyingKeys) }

// StatementKeys are the keys of all whose statements on the log are checked: those that its
// verdicts rest on, and other auditors', for signature.ParseKeys. One that is given for several
// ranges is given for the whole of them.
func (n Namespace) StatementKeys() (texts []string) {
	all := slices.Clone(n.VerifyingKeys)
	for _, x := range n.CrossChecks {
		for _, key := range x.VerifyingKeys {
			i := slices.IndexFunc(all, func(k VerifyingKey) bool { return strings.EqualFold(k.Key, key.Key) })
			switch {
			case i < 0:
				all = append(all, key)
			case !slices.Contains(all, key):
				all = slices.DeleteFunc(all, func(k VerifyingKey) bool { return strings.EqualFold(k.Key, key.Key) })
				all = append(all, VerifyingKey{Key: key.Key})
			}
		}
	}
	return keyTexts(all)
}

func (v checker) crossChecks(n *Namespace, path string) {
	known := map[string]int{}
	for i, x := range n.CrossChecks {
		at := fmt.Sprintf("%scross_check[%d]", path, i)
		v.must(at+".url", x.URL != "", "is missing: give the auditor's origin, such as https://auditor.example.org")
		v.check(at+".url", checkOrigin(x.URL))
		v.must(at+".url", !unprotected(x.URL), "without TLS anybody on the network can answer for the auditor: use https")
		first, twice := known[hostOf(x.URL)]
		v.must(at+".url", !twice, "is that of cross_check[%d] as well: remove one", first)
		known[hostOf(x.URL)] = i
		v.must(at+".keys", len(x.VerifyingKeys) > 0, "is missing: give the keys that the auditor signs with; get them by a way that you trust")
		v.keys(x.VerifyingKeys, at+".keys")
		v.must(at+".every", x.Every >= minCrossCheck, "%s is too short: want %s or more", units.DurationText(x.Every), units.DurationText(minCrossCheck))
		if x.MaxLag != "" {
			_, err := units.ParseLag(x.MaxLag)
			v.check(at+".max_lag", err)
		}
	}
}

func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Host
	}
	return text
}
