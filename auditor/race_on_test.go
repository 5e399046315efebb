//go:build race

package auditor

// raceDetector takes twenty times as long for a schedule. Without it scripts/test plays them all.
const raceDetector = true
