//go:build race

package transparency

// raceDetector takes ten times as long. Without it scripts/test plays everything.
const raceDetector = true
