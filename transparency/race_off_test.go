//go:build !race

package transparency

const raceDetector = false
