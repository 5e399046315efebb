//go:build race

package main

// raceDetector: it takes much of memory and time itself.
const raceDetector = true
