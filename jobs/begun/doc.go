// Package begun remembers which of the times that a repeated task was due it was begun for, so that
// one that came while nobody was there can be caught up on.
//
// It promises that of several processes that begin a task for one time, all are told what the first
// one noted. When a task is due, and what it does, is left to others.
package begun
