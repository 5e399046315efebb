//go:build !race

package auditor

const raceDetector = false
