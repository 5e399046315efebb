// Package units reads and writes sizes, durations and lags as people write them: 512MiB, 30d, 15m.
package units
