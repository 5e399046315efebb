package main

import (
	"os"
	"strings"
)

// ignoreEmptyVariables unsets the variables of flags that are empty. That is how files for Compose,
// systemd and shells leave one out, but kong takes it for a value, which is wrong or hides that of
// the configuration file.
func ignoreEmptyVariables() {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" && (strings.HasPrefix(name, "KTAUDIT_") || strings.HasPrefix(name, "PLEXI_")) {
			_ = os.Unsetenv(name)
		}
	}
}
