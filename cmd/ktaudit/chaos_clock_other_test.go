//go:build !(linux && amd64)

package main

import "errors"

// clocksJump reports whether setClock works here: it does on Linux with amd64, where CI runs.
// Elsewhere the chaos goes without.
const clocksJump = false

func setClock(string) error { return errors.New("this system's clock cannot be put off") }
